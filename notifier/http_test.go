package notifier_test

import (
	"testing"

	"alertd/notifier"
)

func TestGuard(t *testing.T) {
	for addr, allowed := range map[string]bool{
		"127.0.0.1:9093": true, "10.1.2.3:80": true, "172.31.0.1:8443": true, "192.168.0.1:80": true, "100.64.0.9:80": true,
		"93.184.216.34:443": true, "[::1]:80": true, "[fd12::1]:80": true, "[2606:4700::1111]:443": true,
		"169.254.169.254:80": false, "169.254.0.1:80": false, "0.0.0.0:80": false, "224.0.0.1:80": false, "255.255.255.255:80": false,
		"100.100.100.200:80": false, "192.0.0.192:80": false, "[fe80::1]:80": false, "[::]:80": false, "[ff02::1]:80": false,
		"[fd00:ec2::254]:80": false, "[::ffff:169.254.169.254]:80": false, "[64:ff9b::a9fe:a9fe]:80": false,
	} {
		network := "tcp4"
		if addr[0] == '[' {
			network = "tcp6"
		}
		if err := notifier.Guard(network, addr, nil); (err == nil) != allowed {
			t.Errorf("%s: %v, want allowed %v", addr, err, allowed)
		}
	}
}
