// Package runbooks knows what to do about an alert: one Markdown file per alert name, with a front matter that
// says which alert it is for.
//
//	---
//	alert: ApplicationDown
//	title: A service is down
//	severity: critical
//	owner: platform            # optional
//	next_steps:
//	  - Open /health/ready of the service.
//	dashboards:                # optional
//	  - Requests: https://grafana.example.com/d/requests?var-service={{ $labels.service }}
//	---
//	Text for the person who was paged.
//
// The steps, the dashboards and the text may say {{ $labels.service }}, which becomes the label of the alert that the reader came from.
//
// [Load] reads them from any [io/fs.FS]; [Shipped] holds those of the shipped rules. The package renders a runbook
// to safe HTML, names its address and reports rules that have none. It serves nothing and sends nothing.
package runbooks
