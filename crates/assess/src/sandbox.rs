//! Confinement of the process that parses hostile input.
//!
//! Three layers, entered before the first byte of input is read and before any
//! thread is started: Landlock (files below the named folders only, no TCP, no
//! signals or abstract sockets to the outside), seccomp (an allow-list of
//! system calls; everything else fails with `EPERM`), and resource limits. It
//! fails closed: where the kernel cannot do it, nothing is parsed unless the
//! user says so.

use std::path::PathBuf;

/// What the worker may touch.
#[derive(Debug, Clone, Default)]
pub struct Confinement {
    /// Files and folders that may be read.
    pub read: Vec<PathBuf>,
    /// Folders below which files may be created, written, renamed and removed.
    pub write: Vec<PathBuf>,
    /// Bytes of address space, as a last line behind the budgets; none is no limit.
    pub memory: Option<u64>,
}

/// What the kernel offers; shown by `proofmark doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// Landlock is present and could be enforced.
    pub landlock: bool,
    /// Seccomp filters can be installed.
    pub seccomp: bool,
}

/// Why the sandbox could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Landlock is missing or was refused.
    #[error(
        "this kernel does not enforce Landlock ({0}), so nothing was read; use a kernel of 5.13 or later with \
         Landlock enabled, or pass --no-sandbox to read the image unconfined"
    )]
    Landlock(String),
    /// The system call filter was refused.
    #[error(
        "the system call filter could not be installed ({0}), so nothing was read; enable seccomp, or pass \
         --no-sandbox to read the image unconfined"
    )]
    Seccomp(String),
    /// A resource limit was refused.
    #[error("a resource limit could not be set ({0}), so nothing was read")]
    Limit(String),
    /// A folder that should be reachable does not exist or cannot be opened.
    #[error("{path}: cannot be opened: {reason}")]
    Path {
        /// The folder or file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// Not on this operating system.
    #[error(
        "there is no sandbox on this operating system, so nothing was read; pass --no-sandbox to read the \
         image unconfined"
    )]
    Unsupported,
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::{Confinement, SandboxError, Support};

    pub fn enter(_: &Confinement) -> Result<(), SandboxError> {
        Err(SandboxError::Unsupported)
    }

    pub fn support() -> Support {
        Support { landlock: false, seccomp: false }
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use std::collections::BTreeMap;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
        RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
    };
    use rustix::process::{Resource, Rlimit, setrlimit};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    use super::{Confinement, SandboxError, Support};

    /// The newest interface the rules below are written for; an older kernel enforces what it knows.
    const NEWEST: ABI = ABI::V6;

    fn landlock(c: &Confinement) -> Result<(), SandboxError> {
        let refused = |e: landlock::RulesetError| SandboxError::Landlock(e.to_string());
        let mut ruleset = Ruleset::default()
            // The first version of the interface is required; what came later is used where it exists.
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))
            .map_err(refused)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))
            .map_err(refused)?
            .handle_access(AccessNet::from_all(NEWEST))
            .map_err(refused)?
            .scope(Scope::from_all(NEWEST))
            .map_err(refused)?
            .create()
            .map_err(refused)?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = AccessFs::from_all(NEWEST)
            & !(AccessFs::Execute
                | AccessFs::MakeChar
                | AccessFs::MakeBlock
                | AccessFs::MakeSock
                | AccessFs::IoctlDev);
        for (paths, access) in [(&c.read, read), (&c.write, write)] {
            for path in paths {
                let fd = PathFd::new(path).map_err(|e| SandboxError::Path {
                    path: path.clone(),
                    reason: e.to_string(),
                })?;
                // Rights that only folders have are dropped for a file by the best-effort mode.
                ruleset = ruleset.add_rule(PathBeneath::new(fd, access)).map_err(refused)?;
            }
        }
        let status = ruleset.restrict_self().map_err(refused)?;
        match status.ruleset {
            RulesetStatus::NotEnforced => Err(SandboxError::Landlock("not enforced".into())),
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        }
    }

    /// System calls that reading, decoding, threading and writing results need. Names that an architecture
    /// does not have are left out there.
    fn allowed() -> Vec<i64> {
        use libc_numbers::*;
        let mut calls = vec![
            SYS_read,
            SYS_write,
            SYS_pread64,
            SYS_pwrite64,
            SYS_readv,
            SYS_writev,
            SYS_close,
            SYS_fstat,
            SYS_newfstatat,
            SYS_statx,
            SYS_lseek,
            SYS_openat,
            SYS_mkdirat,
            SYS_unlinkat,
            SYS_renameat2,
            SYS_renameat,
            SYS_symlinkat,
            SYS_linkat,
            SYS_readlinkat,
            SYS_getdents64,
            SYS_fchmod,
            SYS_fchmodat,
            SYS_utimensat,
            SYS_ftruncate,
            SYS_fallocate,
            SYS_fsync,
            SYS_fdatasync,
            SYS_fcntl,
            SYS_flock,
            SYS_faccessat,
            SYS_faccessat2,
            SYS_getcwd,
            SYS_umask,
            SYS_dup,
            SYS_dup3,
            SYS_pipe2,
            SYS_mmap,
            SYS_munmap,
            SYS_mremap,
            SYS_mprotect,
            SYS_madvise,
            SYS_brk,
            SYS_futex,
            SYS_set_robust_list,
            SYS_rseq,
            SYS_clone3,
            SYS_sched_yield,
            SYS_sched_getaffinity,
            SYS_membarrier,
            SYS_clock_gettime,
            SYS_clock_nanosleep,
            SYS_nanosleep,
            SYS_gettid,
            SYS_getpid,
            SYS_geteuid,
            SYS_getuid,
            SYS_getrandom,
            SYS_ppoll,
            SYS_rt_sigaction,
            SYS_rt_sigprocmask,
            SYS_rt_sigreturn,
            SYS_sigaltstack,
            SYS_tgkill,
            SYS_restart_syscall,
            SYS_exit,
            SYS_exit_group,
            SYS_statfs,
            SYS_fstatfs,
            SYS_sysinfo,
            SYS_copy_file_range,
        ];
        #[cfg(target_arch = "x86_64")]
        calls.extend([
            SYS_open,
            SYS_stat,
            SYS_lstat,
            SYS_access,
            SYS_poll,
            SYS_mkdir,
            SYS_rmdir,
            SYS_unlink,
            SYS_rename,
            SYS_readlink,
            SYS_chmod,
            SYS_time,
            SYS_gettimeofday,
        ]);
        calls
    }

    use super::numbers as libc_numbers;

    fn seccomp() -> Result<(), SandboxError> {
        use libc_numbers::*;
        let refused = |e: String| SandboxError::Seccomp(e);
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            allowed().into_iter().map(|n| (n, Vec::new())).collect();
        let condition = |argument, op, value| {
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
                .and_then(|c| SeccompRule::new(vec![c]))
                .map_err(|e| refused(e.to_string()))
        };
        // Threads of this process, but no new process: clone must carry CLONE_THREAD. The flags of clone3
        // lie in memory where a filter cannot see them; a new process it made could still execute nothing.
        let thread = 0x0001_0000;
        rules.insert(SYS_clone, vec![condition(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
        // Questions to a terminal: size and mode. Nothing that would type into it.
        let questions = [0x5413, 0x5401].map(|request| condition(1, SeccompCmpOp::Eq, request));
        rules.insert(SYS_ioctl, questions.into_iter().collect::<Result<_, _>>()?);
        // Names of threads, and of memory (the allocator); reading limits, not setting them.
        let names = [15, 0x53564d41].map(|option| condition(0, SeccompCmpOp::Eq, option));
        rules.insert(SYS_prctl, names.into_iter().collect::<Result<_, _>>()?);
        rules.insert(SYS_prlimit64, vec![condition(2, SeccompCmpOp::Eq, 0)?]);
        let architecture =
            std::env::consts::ARCH.try_into().map_err(|_| refused("unknown processor".into()))?;
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Errno(1), // EPERM
            SeccompAction::Allow,
            architecture,
        )
        .map_err(|e| refused(e.to_string()))?;
        let program: BpfProgram =
            filter.try_into().map_err(|e: seccompiler::BackendError| refused(e.to_string()))?;
        seccompiler::apply_filter(&program).map_err(|e| refused(e.to_string()))
    }

    fn limit(resource: Resource, value: u64) -> Result<(), SandboxError> {
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        setrlimit(resource, limit).map_err(|e| SandboxError::Limit(e.to_string()))
    }

    pub fn enter(c: &Confinement) -> Result<(), SandboxError> {
        limit(Resource::Core, 0)?;
        if let Some(memory) = c.memory {
            limit(Resource::As, memory)?;
        }
        landlock(c)?;
        seccomp()
    }

    pub fn support() -> Support {
        let landlock = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))
            .and_then(|r| r.create())
            .is_ok();
        let seccomp = std::fs::read_to_string("/proc/self/status")
            .is_ok_and(|s| s.lines().any(|l| l.starts_with("Seccomp:")));
        Support { landlock, seccomp }
    }
}

/// System call numbers, from the C library's own table.
#[cfg(target_os = "linux")]
use libc as numbers;

/// Enters the sandbox: from here on this thread, and every thread it starts, is confined. Call it before any
/// thread is started. There is no way back.
///
/// # Errors
/// When any layer cannot be enforced. The caller must not go on then.
pub fn enter(confinement: &Confinement) -> Result<(), SandboxError> {
    imp::enter(confinement)
}

/// What the kernel offers.
#[must_use]
pub fn support() -> Support {
    imp::support()
}
