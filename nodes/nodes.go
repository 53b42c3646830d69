// Package nodes lets the alertd of one NATS know of each other: who is there, and, over HTTP in NATS messages, what the one that leads would
// answer. So every node takes posts and answers questions, whichever of them a load balancer picks.
package nodes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Service is the name under which alertd is found among NATS's micro services: `nats micro info alertd` lists the nodes.
const Service = "alertd"

// Node is one alertd.
type Node struct {
	Name    string
	Address string // of its HTTP server, HOST:PORT, as it sees it
}

// Options say who this node is.
type Options struct {
	Node
	Version string
	Log     *slog.Logger // nil logs nothing

	// Unwell is what keeps this node from leading, or from reaching one that does; nil: nothing. Who asks while none leads is told.
	Unwell func(context.Context) error
}

// Nodes is this node among the others. It is safe for concurrent use.
type Nodes struct {
	nc   *nats.Conn
	o    Options
	self micro.Service
}

// quiet is how long to listen for more nodes after the last one has answered. They answer in less than a millisecond, or
// are too far away to be one cluster.
const quiet = 100 * time.Millisecond

// Join makes this node known until [Nodes.Leave].
func Join(nc *nats.Conn, o Options) (*Nodes, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s, err := micro.AddService(nc, micro.Config{
		Name: Service, Version: semantic(o.Version), Description: "alerting daemon",
		Metadata: map[string]string{"node": o.Name, "address": o.Address},
	})
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	return &Nodes{nc: nc, o: o, self: s}, nil
}

// Leave makes this node unknown again. It returns when the server knows.
func (n *Nodes) Leave(context.Context) error {
	return errors.Join(n.self.Stop(), n.nc.FlushTimeout(patience))
}

// Peers are the nodes that answer, sorted by name, this one among them.
func (n *Nodes) Peers(ctx context.Context) ([]Node, error) {
	inbox := n.nc.NewInbox()
	sub, err := n.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	subject, err := micro.ControlSubject(micro.InfoVerb, Service, "")
	if err != nil {
		return nil, err
	}
	if err := n.nc.PublishRequest(subject, inbox, nil); err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	peers := []Node{n.o.Node}
	for len(peers) < 1000 { // whoever may answer: a list for people has an end
		wait, cancel := context.WithTimeout(ctx, quiet)
		msg, err := sub.NextMsgWithContext(wait)
		cancel()
		if err != nil {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrNoResponders) {
				break
			}
			return nil, fmt.Errorf("nodes: %w", err)
		}
		var info micro.Info
		if json.Unmarshal(msg.Data, &info) != nil || info.Metadata["node"] == "" {
			continue // not one of ours
		}
		peers = append(peers, Node{info.Metadata["node"], info.Metadata["address"]})
	}
	slices.SortFunc(peers, func(a, b Node) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address)) })
	return slices.Compact(peers), nil
}

var semver = regexp.MustCompile(`\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?`)

// semantic is the version as NATS wants it.
func semantic(version string) string { return cmp.Or(semver.FindString(version), "0.0.0") }
