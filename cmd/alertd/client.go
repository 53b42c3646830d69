package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"alertd/app"
)

// answerLimit bounds what is read of one answer: a page of the longest history is far below it.
const answerLimit = 64 << 20

// answerTimeout is how long a daemon that has the connection may think.
const answerTimeout = 30 * time.Second

// daemonFlags find the daemon. Commands that ask it something embed them.
type daemonFlags struct {
	URL string `name:"url" env:"ALERTD_URL" default:"http://127.0.0.1:9093" help:"Where the daemon answers. Default: ${default}." placeholder:"URL"`
}

// outputFlags choose between text for people and JSON for programs.
type outputFlags struct {
	Output string `name:"output" short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
}

// get asks the daemon for path and decodes the data of its answer into out.
func (f daemonFlags) get(ctx context.Context, path string, query url.Values, out any) error {
	return f.ask(ctx, http.MethodGet, path, query, nil, out)
}

// recall gets what the daemon answers from its history, and warns where that does not have all yet. Of what comes in pages the first
// one warns.
func (f daemonFlags) recall(ctx context.Context, std streams, path string, query url.Values, out any) error {
	header, err := f.exchange(ctx, http.MethodGet, path, query, nil, out)
	if behind := header.Get(app.BehindHeader); err == nil && behind != "" && !query.Has("cursor") {
		fmt.Fprintf(std.err, "alertd: the history is %s s behind: what was decided since then is missing, ask again soon\n", printable(behind))
	}
	return err
}

// ask asks or tells the daemon something: body, unless it is nil, goes along as JSON.
func (f daemonFlags) ask(ctx context.Context, method, path string, query url.Values, body, out any) error {
	_, err := f.exchange(ctx, method, path, query, body, out)
	return err
}

// exchange is ask with the header of the answer.
func (f daemonFlags) exchange(ctx context.Context, method, path string, query url.Values, body, out any) (http.Header, error) {
	base, err := url.Parse(f.URL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, &usageError{
			msg:  fmt.Sprintf("%q is not the URL of a daemon", redacted(f.URL)),
			hint: "--url http://127.0.0.1:9093, or set ALERTD_URL",
		}
	}
	target := base.JoinPath(path)
	target.RawQuery = query.Encode()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), sent)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "alertd/"+versionText())
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err // without the URL, which may hold a password
		}
		return nil, &failure{
			err:  fmt.Errorf("no answer from the daemon at %s: %w", base.Redacted(), err),
			hint: `start it with "alertd serve", or name another with --url or ALERTD_URL`,
		}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the daemon at %s stopped in the middle of its answer: %w", base.Redacted(), err)
	case len(answer) > answerLimit:
		return nil, &failure{
			err:  fmt.Errorf("the answer of %s is longer than %d MiB", base.Redacted(), answerLimit>>20),
			hint: "ask for less with --since, --limit or a filter",
		}
	}
	return resp.Header, decodeAnswer(resp, answer, base, out)
}

// decodeAnswer unwraps {"status":"success","data":…}, or turns the answer's error into ours.
func decodeAnswer(resp *http.Response, body []byte, base *url.URL, out any) error {
	var answer struct {
		Status    string          `json:"status"`
		Data      json.RawMessage `json:"data"`
		ErrorType string          `json:"errorType"`
		Error     string          `json:"error"`
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode == http.StatusServiceUnavailable && kind == "text/plain" && bytes.HasPrefix(body, []byte("this node stands by")) {
		return &failure{
			err:  fmt.Errorf("the daemon says: %s", printable(strings.TrimSpace(string(body)))),
			hint: "see how it is: curl " + base.JoinPath("/health/ready").Redacted(),
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || kind != "application/json" || answer.Status == "" {
		return &failure{
			err:  fmt.Errorf("%s answered %s, and not as an alertd does", base.Redacted(), resp.Status),
			hint: "see what listens there: curl " + base.JoinPath("/health/ready").Redacted(),
		}
	}
	if answer.Status != "success" {
		err := fmt.Errorf("the daemon says: %s", printable(answer.Error))
		switch resp.StatusCode {
		case http.StatusBadRequest:
			return &usageError{msg: err.Error()}
		case http.StatusNotFound:
			return &failure{err: err, hint: "alertd alerts lists what there is"}
		}
		return &failure{err: err, hint: "see how it is: curl " + base.JoinPath("/health/ready").Redacted()}
	}
	if err := json.Unmarshal(answer.Data, out); err != nil {
		return &failure{
			err:  fmt.Errorf("the answer of %s is not what this alertd expects: %w", base.Redacted(), err),
			hint: `compare "alertd version" here and there`,
		}
	}
	return nil
}

// redacted is raw without the password that a URL may hold, also where the URL is broken.
func redacted(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.Redacted()
	}
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		return "…" + raw[i:]
	}
	return raw
}
