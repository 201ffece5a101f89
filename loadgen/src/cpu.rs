//! CPU time of processes, as the Linux scheduler counts it.

use std::{fs, time::Duration};

/// Clock ticks per second of /proc/PID/stat; 100 on every Linux of today.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time of one process and all its living threads so far; `None` when it is not there.
///
/// From each thread's `schedstat` (nanoseconds of run time), where the kernel keeps one, else from
/// the ticks in `stat` (10 ms steps). Time of threads that ended in between is not in the first.
pub(crate) fn of_process(pid: u32) -> Option<Duration> {
    by_schedstat(pid).or_else(|| by_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
}

/// CPU time of this process so far, its ended threads included (in steps of 10 ms).
pub(crate) fn of_this_process() -> Duration {
    fs::read_to_string("/proc/self/stat")
        .ok()
        .and_then(|stat| by_ticks(&stat))
        .unwrap_or_default()
}

fn by_schedstat(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut nanos = 0;
    for thread in threads.flatten() {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else {
            continue;
        };
        nanos += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

/// Fields 14 and 15, counted after the name in parentheses, which may hold blanks itself.
fn by_ticks(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_PER_SECOND,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_name_with_blanks() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 1";
        assert_eq!(by_ticks(stat), Some(Duration::from_secs(2)));
        assert_eq!(by_ticks("garbage"), None);
    }

    #[test]
    fn work_shows_and_a_process_that_is_not_there_does_not() {
        let before = of_this_process();
        let mut x = 1u64;
        while of_this_process() < before + Duration::from_millis(20) {
            x = crate::rng::mix(std::hint::black_box(x));
        }
        assert_eq!(of_process(u32::MAX), None);
    }
}
