package slack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"alertd"
	"alertd/notifier"

	"github.com/slack-go/slack"
)

// codes sorts Slack's error codes by what they mean for a delivery. Incoming webhooks answer with some of the
// same and some of their own.
var codes = map[alertd.FailureClass][]string{
	alertd.FailureAuth: {
		"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope", "no_permission",
		"not_allowed_token_type", "team_access_not_granted", "ekm_access_denied", "access_denied", "invalid_token",
	},
	alertd.FailureDestination: {
		"channel_not_found", "is_archived", "channel_is_archived", "not_in_channel", "messages_tab_disabled", "user_not_found",
		"no_active_hooks", "no_service", "no_service_id", "no_team", "team_disabled", "action_prohibited", "posting_to_general_channel_denied",
	},
	alertd.FailurePayload: {
		"msg_blocks_too_long", "msg_too_long", "too_many_attachments", "attachment_payload_limit_exceeded", "no_text", "metadata_too_large",
		"invalid_payload", "block_mismatch", "invalid_arguments", "invalid_attachments",
	},
	alertd.FailureRateLimited: {"ratelimited", "rate_limited", "message_limit_exceeded"},
	alertd.FailureServer: {
		"service_unavailable", "request_timeout", "team_added_to_org", "org_login_required", "external_channel_migrating",
		"internal_error", "fatal_error", "rollup_error",
	},
}

// perhaps are the codes after which some of it may have happened.
var perhaps = []string{"internal_error", "fatal_error"}

// goneCodes say that the group's message, or its thread, can no longer be used: the group begins a new one.
var goneCodes = []string{
	"message_not_found", "edit_window_closed", "cant_update_message", "is_inactive", "update_failed", "thread_not_found", "cannot_reply_to_message",
	"channel_not_found", "is_archived", "not_in_channel", "block_mismatch",
}

// hints say what to do next.
var hints = map[string]string{
	"channel_not_found": "check the channel's name or id; a private channel needs /invite for the bot",
	"not_in_channel":    "type /invite and the bot's name in the channel",
	"is_archived":       "the channel is archived: configure another one",
	"invalid_auth":      "the token is not valid here: copy the bot token again",
	"not_authed":        "no token arrived: configure the bot token",
	"token_revoked":     "the token was revoked: install the app again and copy its new bot token",
	"token_expired":     "the token has expired: install the app again and copy its new bot token",
	"account_inactive":  "the token's account is gone: install the app again and copy its new bot token",
	"missing_scope":     "add the scope to the app and install it again",
	"no_active_hooks":   "the incoming webhook was switched off: create a new one",
	"no_service":        "the incoming webhook was removed: create a new one",
}

// codeClass is the class of a code, "" for one that is not known.
func codeClass(code string) alertd.FailureClass {
	switch {
	case code == "":
		return ""
	case strings.HasPrefix(code, "restricted_action"):
		return alertd.FailureDestination
	case strings.HasPrefix(code, "invalid_blocks"), strings.HasPrefix(code, "invalid_metadata"):
		return alertd.FailurePayload
	}
	for _, class := range []alertd.FailureClass{
		alertd.FailureAuth, alertd.FailureDestination, alertd.FailurePayload, alertd.FailureRateLimited, alertd.FailureServer,
	} {
		if slices.Contains(codes[class], code) {
			return class
		}
	}
	return ""
}

// codeOf is the code with which Slack refused, or "".
func codeOf(err error) string {
	if e, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		return e.Err
	}
	return ""
}

// gone reports whether the group's message cannot be changed any more.
func gone(err error) bool { return err != nil && slices.Contains(goneCodes, codeOf(err)) }

// errorOf says what an error of the client library means.
func errorOf(err error) *alertd.DeliveryError {
	if de, ok := errors.AsType[*alertd.DeliveryError](err); ok {
		return de
	}
	if e, ok := errors.AsType[slack.SlackErrorResponse](err); ok {
		return refusal(e)
	}
	if e, ok := errors.AsType[*slack.RateLimitedError](err); ok {
		return &alertd.DeliveryError{
			Outcome: alertd.Retry, Class: alertd.FailureRateLimited, RetryAfter: min(max(e.RetryAfter, 0), notifier.MaxRetryAfter),
			Err: errors.New("rate limited"),
		}
	}
	if e, ok := errors.AsType[slack.StatusCodeError](err); ok {
		de := notifier.StatusError(notifier.Answer{Status: e.Code})
		if e.Code >= 500 && e.Code != http.StatusServiceUnavailable {
			de.Outcome = alertd.Unknown // it may have been posted, and can be looked for
		}
		return de
	}
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	_, unanswered := errors.AsType[*url.Error](err)
	if syntax || kind || (errors.Is(err, io.EOF) && !unanswered) {
		return &alertd.DeliveryError{
			Outcome: alertd.Unknown, Class: alertd.FailureServer,
			Err: errors.New("answered something that is not Slack's JSON: is api_url right?"),
		}
	}
	return notifier.TransportError(err)
}

func refusal(e slack.SlackErrorResponse) *alertd.DeliveryError {
	de := &alertd.DeliveryError{Outcome: alertd.Failed, Class: codeClass(e.Err)}
	switch de.Class {
	case alertd.FailureRateLimited, alertd.FailureServer:
		de.Outcome = alertd.Retry
	case "": // a code that is new since this was written: rather try again than lose a page
		de.Outcome, de.Class = alertd.Retry, alertd.FailureServer
	}
	if slices.Contains(perhaps, e.Err) {
		de.Outcome = alertd.Unknown
	}
	var text strings.Builder
	text.WriteString(notifier.Line(e.Err, 60))
	if e.Needed != "" {
		text.WriteString(" (" + notifier.Line(e.Needed, 80) + ")")
	}
	for _, m := range e.ResponseMetadata.Messages[:min(2, len(e.ResponseMetadata.Messages))] {
		text.WriteString(": " + notifier.Line(m, 120))
	}
	if hint := hints[e.Err]; hint != "" {
		text.WriteString("; " + hint)
	}
	de.Err = fmt.Errorf("refused: %s", text.String())
	return de
}
