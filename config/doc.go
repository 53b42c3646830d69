// Package config turns files into typed policy: the routing file (Alertmanager's schema and what alertd adds to
// it), the health targets, the daemon's own settings, and a whole folder of them as one [Policy].
//
// Reading is strict and tells everything at once: an unknown key, a name that nothing defines, a value out of
// range each become an [Error] with file, line and column that says what to type instead. What Alertmanager knows
// and alertd does not use becomes a [Warning], never silence. No message contains a secret: values are quoted as
// the file has them, before ${ENVIRONMENT} variables are filled in, and values of secret keys not at all.
//
// A value may contain ${NAME}, which stands for that environment variable; $${NAME} is the text itself. Keys never do.
//
// The functions read no clock and no files but through their arguments. What they return must not be changed, and
// is then safe to share between goroutines.
package config
