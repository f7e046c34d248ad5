//! The processes that cells start. They are in the cell process's group or below it, and are found in the system's own table,
//! where it has one; so an interrupt reaches what the cell waits for, and the end of a cell process is the end of all.

use std::collections::BTreeSet;

/// A time, in the system's ticks since it started; on macOS since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Moment {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call writes to where it is told.
        unsafe { libc::clock_gettime(CLOCK, &raw mut time) };
        Moment::at(u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn at(seconds: u64, nanoseconds: u64) -> Moment {
        // SAFETY: the call has no preconditions.
        let ticks = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100).max(1);
        Moment(seconds * ticks + nanoseconds * ticks / 1_000_000_000)
    }
}

#[cfg(target_os = "linux")]
const CLOCK: libc::clockid_t = libc::CLOCK_BOOTTIME;
// As processes are timed in macOS's table.
#[cfg(not(target_os = "linux"))]
const CLOCK: libc::clockid_t = libc::CLOCK_REALTIME;

/// A process of a cell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    process: u32,
    parent: u32,
    group: u32,
    started: Moment,
}

/// What was started below a cell process since a moment, or ever.
pub(crate) fn of(leader: u32, since: Option<Moment>) -> Vec<Child> {
    let all = table();
    let mut family = BTreeSet::from([leader]);
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|child| child.group == leader || family.contains(&child.parent))
            .map(|child| child.process)
            .filter(|process| !family.contains(process))
            .collect();
        if more.is_empty() {
            break;
        }
        family.extend(more);
    }
    let wanted = |child: &Child| {
        child.process != leader && family.contains(&child.process) && since.is_none_or(|since| child.started >= since)
    };
    all.into_iter().filter(wanted).collect()
}

/// Asks processes to end, as Ctrl-C does.
pub(crate) fn interrupt(children: &[Child]) {
    children.iter().for_each(|child| signal(child.process, libc::SIGINT));
}

/// Ends those that still run.
pub(crate) fn end(children: &[Child]) {
    let running = table();
    let same = |child: &&Child| running.iter().any(|one| (one.process, one.started) == (child.process, child.started));
    children.iter().filter(same).for_each(|child| signal(child.process, libc::SIGKILL));
}

/// Ends a cell process and all that was started below it.
pub(crate) fn end_all(leader: u32) {
    let children = of(leader, None);
    signal(leader, libc::SIGKILL);
    end_group(leader);
    end(&children);
}

/// Ends what is left of a cell process's group.
pub(crate) fn end_group(leader: u32) {
    if let Some(group) = libc::pid_t::try_from(leader).ok().filter(|group| *group > 1) {
        // SAFETY: the call has no preconditions; a group that is gone is what was wanted.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

fn signal(process: u32, signal: libc::c_int) {
    if let Some(process) = libc::pid_t::try_from(process).ok().filter(|process| *process > 1) {
        // SAFETY: the call has no preconditions; a process that is gone is what was wanted.
        unsafe { libc::kill(process, signal) };
    }
}

/// All processes that are not dead.
#[cfg(target_vendor = "apple")]
fn table() -> Vec<Child> {
    // SAFETY: without a buffer the call tells how many there are.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    // Some may be started meanwhile.
    let mut processes: Vec<libc::pid_t> = vec![0; usize::try_from(count).unwrap_or(0) + 64];
    let bytes = libc::c_int::try_from(size_of_val(processes.as_slice())).unwrap_or(0);
    // SAFETY: the buffer has as many bytes as are told.
    let found = unsafe { libc::proc_listallpids(processes.as_mut_ptr().cast(), bytes) };
    processes.truncate(usize::try_from(found).unwrap_or(0));
    processes.into_iter().filter_map(told).collect()
}

/// What macOS's table has of a process.
#[cfg(target_vendor = "apple")]
fn told(process: libc::pid_t) -> Option<Child> {
    let size = libc::c_int::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    // SAFETY: all zero is a value of the structure, which has as many bytes as are told.
    let (written, about) = unsafe {
        let mut about: libc::proc_bsdinfo = std::mem::zeroed();
        (libc::proc_pidinfo(process, libc::PROC_PIDTBSDINFO, 0, (&raw mut about).cast(), size), about)
    };
    let started = Moment::at(about.pbi_start_tvsec, about.pbi_start_tvusec * 1000);
    (written == size && about.pbi_status != libc::SZOMB).then_some(Child {
        process: about.pbi_pid,
        parent: about.pbi_ppid,
        group: about.pbi_pgid,
        started,
    })
}

/// All processes that are not dead; empty where the system has no table to read.
#[cfg(not(target_vendor = "apple"))]
fn table() -> Vec<Child> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| read(&std::fs::read_to_string(entry.path().join("stat")).ok()?)).collect()
}

/// A line of Linux's table; see proc_pid_stat(5).
#[cfg(any(test, not(target_vendor = "apple")))]
fn read(line: &str) -> Option<Child> {
    let process = line.split(' ').next()?.parse().ok()?;
    // The program's name is in brackets, and may have anything in it.
    let rest: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let (state, parent, group) = (*rest.first()?, rest.get(1)?.parse().ok()?, rest.get(2)?.parse().ok()?);
    let started = Moment(rest.get(19)?.parse().ok()?);
    (!matches!(state, "Z" | "X")).then_some(Child { process, parent, group, started })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = "71 (a) b (c) S 70 69 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(read(line), Some(Child { process: 71, parent: 70, group: 69, started: Moment(4711) }));
        assert_eq!(read("72 (z) Z 70 69 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_started_below_is_found_by_when_it_was() {
        let before = Moment::now();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = |since| of(std::process::id(), since).iter().any(|one| one.process == child.id());
        assert!(found(None) && found(Some(before)));
        assert!(!found(Some(Moment(before.0 + 1_000_000))));
        let children: Vec<Child> =
            of(std::process::id(), None).into_iter().filter(|one| one.process == child.id()).collect();
        end(&children);
        assert!(!child.wait().unwrap().success());
    }
}
