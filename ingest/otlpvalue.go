package ingest

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// anyText is how a value looks as a label.
func anyText(v *commonpb.AnyValue) string {
	switch v := v.GetValue().(type) {
	case nil:
		return ""
	case *commonpb.AnyValue_StringValue:
		return strings.ToValidUTF8(v.StringValue, "\uFFFD")
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(v.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(v.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return floatText(v.DoubleValue)
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(v.BytesValue)
	default:
		b, err := json.Marshal(plainValue(&commonpb.AnyValue{Value: v}, 0))
		if err != nil {
			return ""
		}
		return string(b)
	}
}

func floatText(v float64) string {
	if b, err := json.Marshal(v); err == nil {
		return string(b)
	}
	return strconv.FormatFloat(v, 'g', -1, 64) // NaN and the infinities
}

// plainValue is a list or a map as JSON has it.
func plainValue(v *commonpb.AnyValue, depth int) any {
	if depth > maxDepth {
		return nil
	}
	switch v := v.GetValue().(type) {
	case nil:
		return nil
	case *commonpb.AnyValue_BoolValue:
		return v.BoolValue
	case *commonpb.AnyValue_IntValue:
		return v.IntValue
	case *commonpb.AnyValue_DoubleValue:
		return json.RawMessage(jsonFloat(v.DoubleValue))
	case *commonpb.AnyValue_ArrayValue:
		list := []any{}
		for _, e := range v.ArrayValue.GetValues() {
			list = append(list, plainValue(e, depth+1))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		object := map[string]any{}
		for _, kv := range v.KvlistValue.GetValues() {
			object[kv.GetKey()] = plainValue(kv.GetValue(), depth+1)
		}
		return object
	default:
		return anyText(&commonpb.AnyValue{Value: v})
	}
}

func jsonFloat(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.Quote(floatText(v))
	}
	return floatText(v)
}

func bounded(s string) string { return s[:min(len(s), MaxText)] }
