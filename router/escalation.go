package router

import "time"

// EscalationStep is who is called in next, where nobody takes a critical alert.
type EscalationStep struct {
	After    time.Duration // since the alert was told, or since it was given back
	Receiver string
}

// Escalation is the way along which a critical alert goes that nobody takes, in the order of its steps.
type Escalation struct {
	Name  string
	Steps []EscalationStep
}
