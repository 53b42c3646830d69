package rules

import (
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

type program struct{}

type buffers struct{}

func compile(parser.Expr, []use, time.Duration) *program { return nil }

func (*program) run(view, int64, *buffers) (promql.Vector, bool) { return nil, false }
