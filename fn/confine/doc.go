// Package confine does work on what strangers wrote in a child process of this program, which is given one value, answers with one, and
// ends: what loops, leaks, asks for too much memory or never returns costs that child, and nobody else. [Run] is the parent's side and
// [Serve] the child's. It knows nothing of what the work is.
//
// The child bounds its own memory before it reads anything. RLIMIT_DATA bounds what it may map for writing, piece by piece, and RLIMIT_AS
// what it may reserve, which a single large allocation is; where the kernel refuses, the Go runtime ends the process. Both let some more
// pass than the limit: the child looks every few milliseconds at what it uses, and ends itself above it. It offers itself first to the kernel's OOM killer, in case the
// container is full nevertheless, runs at a lower priority and on one processor, and takes only a file of so many bytes on disk. It ends
// when the time is over, when the parent kills it, and when the parent dies.
//
// Where there is no Linux, only the time is bounded: the controller runs on Linux, and the command line on machines of its user.
package confine
