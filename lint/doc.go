// Package lint finds what rule and routing files may say and most likely do not mean: a page without a runbook, an
// alert on every single error, a condition that is never true, a critical alert that waits for Monday.
//
// Mistakes that keep a file from being read are not lints; packages rules and config report those. Every lint has a
// name and a severity that can be changed. [Check] is a pure function: whoever calls it reads the files, asks the
// daemon and tries the links.
package lint
