package alertd_test

import (
	"testing"

	"alertd"
)

func TestSaysFailed(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		want        bool
	}{
		{"code", "500", true},
		{"code", "5xx", true},
		{"status", "404", false},
		{"code", "50", false},
		{"port", "500", false},
		{"http.response.status_code", "503", true},
		{"http_status_code", "200", false},
		{"status", "error", true},
		{"status", "ok", false},
		{"error", "true", true},
		{"error", "false", false},
		{"error.type", "timeout", true},
		{"error_type", "", false},
		{"outcome", "FAILURE", true},
		{"otel.status_code", "ERROR", true},
		{"grpc_code", "Unavailable", true},
		{"grpc_code", "OK", false},
		{"rpc.grpc.status_code", "14", true},
		{"rpc.grpc.status_code", "5", false},
		{"result", "true", false},
	} {
		if got := alertd.SaysFailed(tt.name, tt.value); got != tt.want {
			t.Errorf("%s=%q: %v", tt.name, tt.value, got)
		}
	}
}
