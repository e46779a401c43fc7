// Package archive is the on-disk backup format: it writes runs to a volume,
// lists, verifies and reads them, and removes them. It knows bytes, files and
// age recipients, and nothing of where they come from. Start at [OpenVolume];
// [Volume.Write] makes a backup, [Volume.Verify] proves one and
// [Volume.VerifyRuns] all, [Volume.OpenRun] reads one and [Run.Restore] brings its file storage back.
//
// # Layout
//
//	<volume>/
//	  .lock                                     names the writer while it writes, else empty
//	  latest -> runs/<run>                      the complete run that was committed last
//	  secrets -> latest/secrets                 likewise configmaps, apimanager, system-filestorage-pvc
//	  runs/<run>/
//	    manifest.json                           written last; see Manifest
//	    SHA256SUMS                              every regular file of the run except manifest.json and itself
//	    secrets/ configmaps/ apimanager/        the objects
//	    system-filestorage-pvc -> ../../trees/<tree>/files
//	  trees/<tree>/
//	    MTREE                                   every entry of the file storage
//	    SHA256SUMS                              MTREE, every regular file below files/, and the next
//	    files.xattrs                            extended attributes; absent where no entry has any
//	    files/...
//	  runs/.aside-<run>                         what had the name of a run before that run began; see [Witness]
//	  trees/.stamps-<tree>                      what of the files' sources tells that they are unchanged; no part of a backup
//
// manifest.json holds the digests of the three lists, so that one digest, that
// of manifest.json, stands for a whole run. No list can hold manifest.json's
// own digest: it is in [Result] and [RunInfo], to be kept elsewhere.
//
// Runs are ordered by the sequence in their manifests, which is one more than the greatest that was on the volume when
// the run was committed: no clock has a part in it. Format 1 had no sequence; its runs are older than all others, and
// ordered by startTime. A run that is dated after one that was written later is told, see datedAfter.
//
// Both SHA256SUMS are in coreutils' format, escapes included, and
// `sha256sum -c SHA256SUMS` passes in the directory of each. A tree's list
// begins with its MTREE, so that it has a line (coreutils calls a list without
// lines malformed) also when the file storage is empty. The name of a tree is
// what `sha256sum MTREE SHA256SUMS | sha256sum` prints in it.
//
// A copy of a volume may lack symlinks, empty directories, modes and times, as
// by a tool for object stores, and it may have what a symlink led to in its
// place: [Volume.Verify] tells of that as a warning. A restore takes all but the
// bytes of files from the lists, and the next run that shares such a tree makes
// it whole.
//
// Every list is sorted by path, compared byte by byte with the slash lowest.
// That is the order of a depth-first walk with sorted directories, so lists
// and directories are merged as streams, in memory that does not grow.
//
// MTREE is mtree(5) with one full path a line, relative to files/, and the
// keywords type, mode, uid, gid, size (files), time and link (symlinks), in
// that order. Bytes other than letters, digits and the harmless punctuation
// are three octal digits after a backslash, as vis(3) writes them. It tells of
// the source: its sizes are those of the plaintext, its owners and modes those
// of the source, whatever the volume can hold.
//
// files.xattrs has the extended attributes of files and directories in the
// format of getfattr --dump, with values in base64: `setfattr
// --restore=files.xattrs` sets them in a directory that files/ was copied to.
// POSIX access control lists are among them, by the names that the kernel gives
// them (system.posix_acl_access and system.posix_acl_default). Kept are these and those
// of users, user.*; with recipients only these, since the list is not encrypted.
// The mode in MTREE of what has a list gives nobody more than the list does, so
// that nobody gains where it is restored without the list: the group has its own
// rights (stat(2) tells the mask in its place), less what a named user lacks,
// and the others have none that a named user or group lacks. A list of more than
// 32 KiB is not kept; the mode is narrowed by it all the same.
//
// # Stored form
//
// Files belong to the writer's user. A stored file keeps the source's
// permission bits and its owner can always read it; setuid, setgid and sticky
// bits of files are in MTREE only (a copy owned by another user must not get
// its source's privilege). Directories keep their bits and can always be
// entered by their owner. Storage is free to change modes afterwards (a
// kubelet adds group rights for an fsGroup), so [Volume.Verify] tells of them
// as a warning. Hard links within the source become independent files.
//
// With recipients every stored file is an age stream: an object's name gets
// the suffix .age, the files of the file storage keep their names. SHA256SUMS
// covers the stored bytes and no digest of a plaintext is kept. Names, sizes,
// modes, times and the targets of symlinks are readable. The operator's view
// (the links secrets and so on) is absent while the newest run is encrypted,
// since APIManagerRestore would take the encrypted files for data.
//
// A volume that cannot hold symlinks has a file LATEST with the run's name,
// no system-filestorage-pvc and no operator's view; symlinks of the file
// storage are then in MTREE only, and manifest.json says so. A name that the
// volume cannot hold, or that is another's there, fails the run.
//
// What APIManagerBackup wrote at the root of a volume is kept and never
// written to: then there are no links beside it. It is read as the run
// [UnverifiedRun].
//
// # Writing
//
// A run and its tree are built as runs/.partial-<run> and
// trees/.partial-<run>, synced once, and renamed, the tree first. (On FUSE,
// where one sync may not reach the disk, each file is synced.) A file is
// hard-linked from the newest tree with the same recipients when size, mtime,
// mode and stamp are the same; a tree whose MTREE would be the same is shared.
//
// The stamp stands for the file's ctime and inode, which nobody can set back: a
// file that was written over with its size and mtime kept has another. A list
// of them, one a file in the order of MTREE, lies beside the tree; with a file's
// stamp it has the names of the attributes that are not kept of the file, so that
// a run that links it can tell them. A file that
// was changed less than two seconds before the scan that it was stored in has
// none, since a later change may show in no time stamp; nor have those of a run
// of an older version. A file whose stamp is not known or another one is read,
// and linked if its digest is the listed one; what is encrypted cannot be
// compared, and is stored anew. Inodes count where the file system has them (not on
// FAT, SMB or FUSE). What is less than two seconds is told by the writer's
// clock: it should not be ahead of a file server's by more.
//
// With WriteOptions.ProveLinks what is stored of it is read before, and what
// is damaged is copied from the source instead; a tree that would be shared is
// then built anew, and takes the place of the damaged one if it has its name.
// While it is built, JOURNAL in the partial tree lists what is stored, with
// stamps and digests; the next attempt of the same run recomputes them and keeps what
// agrees. Nothing that has its final name is ever changed: what is in the way
// is removed and made anew, since it may be linked to an earlier run.
//
// With WriteOptions.Witness, what has the names of a run that was not noted is
// somebody else's: the beginning of a run is removed, and what has the place of
// a whole one becomes runs/.aside-<run>, or .aside-<run>.2 and so on. That is no
// run, and the tree that it refers to stays as long as it does.
//
// # Removing
//
// [Volume.Remove] takes a run's name away, then removes the trees that no run
// refers to any more, and the run at last: runs/.removed-<run> and
// trees/.removed-<tree> are what an interrupted one leaves, for the next removal
// or the next run to clear. Who reads a run has a shared lock on its
// manifest.json; while there is one, the run is not removed. NFS and SMB know
// of such locks on all nodes.
//
// # Restoring
//
// [Run.Restore] writes each file as .threescale-refill-<16 hex>-<n>.tmp in its
// directory and renames it when its digest is proven. Directories get their
// modes and mtimes last, then all is synced once. From before the first file to
// after the sync, .threescale-refill-<run> lies at the root and names the run
// and the digest of its manifest: by it the next try tells what an interrupted
// one left from data of somebody else. What is there with its content (by
// digest, whatever its mtime) is not written again, only its mode, mtime and
// owner are put right. Extended attributes that the directory cannot hold are
// told: the mode gives nobody more than they did. An access control list that
// the source did not have, inherited or there before, is removed, or told where
// that cannot be; only the root keeps the lists of its volume, and then its mode,
// as it keeps its owner. A file that belongs to another user than its source did
// has no setuid bit, and likewise no setgid bit.
package archive
