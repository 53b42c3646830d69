// Package api answers over HTTP: what is firing, what waits, what happened, how alertd itself is.
//
// It reads copies of state and writes only by asking its owner for a reload; it decides nothing. Answers of
// /api/v1 have Prometheus's envelope, {"status":"success","data":…} or {"status":"error","errorType":…,
// "error":…}, and an error's text ends with what to do. Handlers are safe for concurrent use. Time-outs and the
// size of headers are the server's to bound.
package api
