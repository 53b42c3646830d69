package alertd

// Severity says how urgent an alert is. It is the label "severity", read once through [SeverityOf] so that
// the words that existing rule files use sort into three.
type Severity string

// The three severities of calm alerting. Others are allowed as labels; they sort after info.
const (
	Critical Severity = "critical" // page now
	Warning  Severity = "warning"  // during business hours
	Info     Severity = "info"     // on the dashboard
)

// SeverityOf reads the label and folds the synonyms that public rule files use. An absent label is "".
func SeverityOf(ls Labels) Severity {
	switch s := ls.Get(LabelSeverity); s {
	case "page", "emergency", "fatal":
		return Critical
	case "warn":
		return Warning
	case "information", "notice":
		return Info
	default:
		return Severity(s)
	}
}

// Rank orders severities, most urgent first: 0 critical, 1 warning, 2 info, 3 anything else.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 0
	case Warning:
		return 1
	case Info:
		return 2
	default:
		return 3
	}
}
