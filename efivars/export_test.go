package efivars

// Failed is failed, for the test of errno.
var Failed = failed

// WriteAll is writeAll, for the test of a full device.
var WriteAll = writeAll
