package config

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"alertd/templates"
)

// Slack is one Slack channel, spoken to by a bot or through an incoming webhook.
type Slack struct {
	// APIURL is the base of the Web API, with a slash at the end, where there is a BotToken; else the URL of an
	// incoming webhook.
	APIURL       Secret
	BotToken     Secret
	HTTP         *HTTP         // nil: nothing special
	Timeout      time.Duration // of one attempt; 0: the notifier's own
	SendResolved bool          // default true, unlike Alertmanager: what was announced is closed

	Channel                      string // a template; "" only for an incoming webhook, which has one of its own
	Username, IconEmoji, IconURL string // templates; "" is the app's own
	LinkNames                    bool

	// Texts are what the message says. They are Alertmanager's where a receiver has any of Alertmanager's keys for them,
	// or where the template files define its slack.default templates anew. Nil is alertd's own message.
	Texts *templates.Slack
}

const slackAPI = "https://slack.com/api/"

func (p *routingParser) readSlack(n *yaml.Node, what string) Slack {
	s := Slack{SendResolved: true, HTTP: p.global.http}
	var appURL Secret
	var update *yaml.Node
	before := len(p.problems)
	known := fields{
		"api_url":        p.secretTo(&s.APIURL, "api_url"),
		"api_url_file":   p.secretFileTo(&s.APIURL, "api_url_file"),
		"bot_token":      p.secretTo(&s.BotToken, "bot_token"),
		"bot_token_file": p.secretFileTo(&s.BotToken, "bot_token_file"),
		"app_token":      p.secretTo(&s.BotToken, "app_token"),
		"app_token_file": p.secretFileTo(&s.BotToken, "app_token_file"),
		"app_url":        p.secretTo(&appURL, "app_url"),
		"channel":        p.templateTo(&s.Channel, "channel"),
		"username":       p.templateTo(&s.Username, "username"),
		"icon_emoji":     p.templateTo(&s.IconEmoji, "icon_emoji"),
		"icon_url":       p.templateTo(&s.IconURL, "icon_url"),
		"link_names":     p.boolTo(&s.LinkNames, "link_names"),
		"send_resolved":  p.boolTo(&s.SendResolved, "send_resolved"),
		"timeout":        p.durationTo(&s.Timeout, "timeout", 0),
		"http_config":    func(n *yaml.Node) { s.HTTP = p.readHTTP(n) },
		"update_message": func(n *yaml.Node) {
			var wanted bool
			if p.boolTo(&wanted, "update_message")(n); wanted {
				update = target(n)
			}
		},
	}
	p.slackTexts(known, &s)
	p.object(n, what, known)
	p.oneOf(n, what, "bot_token", "bot_token_file", "app_token", "app_token_file")
	p.oneOf(n, what, "api_url", "api_url_file")
	if len(p.problems) > before {
		return s
	}
	p.slackPlace(n, &s, appURL, what)
	if update != nil && s.BotToken == "" {
		p.warn(update, "update_message needs a bot token: what an incoming webhook has sent cannot be changed")
	}
	return s
}

// slackPlace decides where a message goes, and with which credentials.
func (p *routingParser) slackPlace(n *yaml.Node, s *Slack, appURL Secret, what string) {
	own := s.HTTP != p.global.http && s.HTTP.Authorization != ""
	if s.BotToken == "" && s.APIURL == "" && !own {
		s.BotToken = p.global.slackToken
	}
	if s.HTTP != nil && s.HTTP.Authorization != "" && !p.takeToken(n, s, what) {
		return
	}
	if s.BotToken == "" {
		s.APIURL = firstOf(s.APIURL, p.global.slackURL)
		if s.APIURL == "" {
			p.fail(n, "%s has no way to Slack; add bot_token_file with channel, or api_url_file with the URL of an incoming webhook", what)
			return
		}
	} else {
		s.APIURL = firstOf(s.APIURL, appURL, p.global.slackAPI, slackAPI)
		if strings.Contains(s.APIURL.Reveal(), "hooks.slack.com/") {
			p.fail(n, "%s has a bot token, but its api_url is an incoming webhook; keep one of the two", what)
		}
		// Alertmanager names the method where Slack's own libraries want the base.
		base := strings.TrimSuffix(s.APIURL.Reveal(), "chat.postMessage")
		s.APIURL = Secret(strings.TrimRight(base, "/") + "/")
		if s.Channel == "" {
			p.fail(n, "%s has a bot token, but no channel; add channel: '#alerts'", what)
		}
	}
	if err := httpURL(s.APIURL.Reveal()); err != nil {
		p.fail(n, "%s: api_url: %v", what, err)
	}
}

// takeToken takes the bot token from http_config, which is where Alertmanager had it before it knew app_token.
func (p *routingParser) takeToken(n *yaml.Node, s *Slack, what string) bool {
	token, bearer := strings.CutPrefix(s.HTTP.Authorization.Reveal(), "Bearer ")
	hook := strings.Contains(firstOf(s.APIURL, p.global.slackURL).Reveal(), "hooks.slack.com/")
	if !bearer || s.BotToken != "" || hook {
		p.fail(n, "%s: http_config has credentials that Slack does not take here; keep a bot_token, or the URL of an incoming webhook, alone", what)
		return false
	}
	rest := *s.HTTP
	rest.Authorization = ""
	s.BotToken, s.HTTP = Secret(token), &rest
	s.APIURL = firstOf(s.APIURL, p.global.slackURL)
	return true
}

// slackTexts adds the keys that say what a message says. The first of them makes it Alertmanager's message, whose other
// keys have Alertmanager's defaults.
func (p *routingParser) slackTexts(known fields, s *Slack) {
	texts := templates.DefaultSlack()
	given := func(read func(*yaml.Node)) func(*yaml.Node) {
		return func(n *yaml.Node) {
			s.Texts = &texts
			read(n)
		}
	}
	for key, to := range map[string]*string{
		"title": &texts.Title, "title_link": &texts.TitleLink, "pretext": &texts.Pretext, "text": &texts.Text,
		"message_text": &texts.MessageText, "fallback": &texts.Fallback, "color": &texts.Color, "footer": &texts.Footer,
		"image_url": &texts.ImageURL, "thumb_url": &texts.ThumbURL, "callback_id": &texts.CallbackID,
	} {
		known[key] = given(p.templateTo(to, key))
	}
	known["actions"] = given(func(n *yaml.Node) { texts.Actions = p.readSlackActions(n) })
	known["mrkdwn_in"] = func(n *yaml.Node) {
		if in := p.texts(n, "mrkdwn_in"); len(in) > 0 {
			texts.MrkdwnIn = in
		}
	}
	known["fields"] = given(func(n *yaml.Node) { texts.Fields = p.readSlackFields(n) })
	known["short_fields"] = p.boolTo(&texts.ShortFields, "short_fields")

	set := p.out.Templates
	if set == nil {
		return
	}
	if set.Defines("slack.default.") || set.Defines("__subject") {
		s.Texts = &texts
	}
	for name, to := range map[string]*string{"username": &s.Username, "iconemoji": &s.IconEmoji, "iconurl": &s.IconURL} {
		if set.Defines("slack.default." + name) {
			*to = `{{ template "slack.default.` + name + `" . }}`
		}
	}
}

func (p *routingParser) readSlackFields(n *yaml.Node) (all []templates.SlackField) {
	for i, item := range p.list(n, "fields") {
		var f templates.SlackField
		what := indexed("fields", i)
		ok := p.object(item, what, fields{
			"title": p.templateTo(&f.Title, what+".title"),
			"value": p.templateTo(&f.Value, what+".value"),
			"short": func(n *yaml.Node) {
				if !absent(target(n)) {
					f.Short = new(bool)
					p.boolTo(f.Short, what+".short")(n)
				}
			},
		})
		if ok && (f.Title == "" || f.Value == "") {
			p.fail(item, "%s needs both a title and a value", what)
		}
		all = append(all, f)
	}
	return all
}

func (p *routingParser) readSlackActions(n *yaml.Node) (all []templates.SlackAction) {
	for i, item := range p.list(n, "actions") {
		var a templates.SlackAction
		what := indexed("actions", i)
		ok := p.object(item, what, fields{
			"type":  p.templateTo(&a.Type, what+".type"),
			"text":  p.templateTo(&a.Text, what+".text"),
			"url":   p.templateTo(&a.URL, what+".url"),
			"style": p.templateTo(&a.Style, what+".style"),
			"name":  p.templateTo(&a.Name, what+".name"),
			"value": p.templateTo(&a.Value, what+".value"),
			"confirm": func(n *yaml.Node) {
				if absent(target(n)) {
					return
				}
				a.Confirm = &templates.SlackConfirm{}
				p.object(n, what+".confirm", fields{
					"title":        p.templateTo(&a.Confirm.Title, "title"),
					"text":         p.templateTo(&a.Confirm.Text, "text"),
					"ok_text":      p.templateTo(&a.Confirm.OKText, "ok_text"),
					"dismiss_text": p.templateTo(&a.Confirm.DismissText, "dismiss_text"),
				})
				if a.Confirm.Text == "" {
					p.fail(target(n), "%s.confirm needs a text", what)
				}
			},
		})
		switch {
		case !ok:
		case a.Type == "" || a.Text == "":
			p.fail(item, "%s needs a type and a text, as in {type: button, text: Runbook, url: 'https://…'}", what)
		case a.URL != "": // a link asks nobody
			a.Name, a.Value, a.Confirm = "", "", nil
		case a.Name == "":
			p.fail(item, "%s needs a url, or the name that a Slack app of yours answers to", what)
		}
		all = append(all, a)
	}
	return all
}
