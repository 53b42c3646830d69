package notifier

// Guard is what the dialer of NewClient asks before it connects.
var Guard = guard()
