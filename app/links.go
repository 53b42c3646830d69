package app

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// linkTimeout is how long one link is tried.
	linkTimeout = 10 * time.Second
	// linksAtOnce is how many are tried at the same time.
	linksAtOnce = 4
	// maxTried bounds how many are tried at all.
	maxTried = 1000
)

// DeadLinks tries links, at most 1,000 of them, and says of those that lead nowhere why. One that wants a login leads
// somewhere. No answer shows a URL, which may hold a password.
func DeadLinks(ctx context.Context, client *http.Client, links []string) map[string]string {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		dead = make(map[string]string)
		jobs = make(chan string)
	)
	for range linksAtOnce {
		wg.Go(func() {
			for link := range jobs {
				if why := tryLink(ctx, client, link); why != "" {
					mu.Lock()
					dead[link] = why
					mu.Unlock()
				}
			}
		})
	}
	for _, link := range links[:min(len(links), maxTried)] {
		jobs <- link
	}
	close(jobs)
	wg.Wait()
	return dead
}

// tryLink says why a link leads nowhere, or "". Where a server does not answer HEAD, GET is tried.
func tryLink(ctx context.Context, client *http.Client, link string) string {
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	var status string
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		req, err := http.NewRequestWithContext(ctx, method, link, nil)
		if err != nil {
			return "it is not well-formed"
		}
		req.Header.Set("User-Agent", "alertd")
		resp, err := client.Do(req)
		if err != nil {
			if e, ok := errors.AsType[*url.Error](err); ok {
				err = e.Err // without the URL, which may hold a password
			}
			return err.Error()
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 1<<10) // so that the connection can be used again
		resp.Body.Close()
		letIn := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}
		if resp.StatusCode < 400 || slices.Contains(letIn, resp.StatusCode) {
			return ""
		}
		status = resp.Status
	}
	return "the server answers " + status
}
