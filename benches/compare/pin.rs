//! Which core the servers run on, and which one the load.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Servers on one core and the load on another, so that neither takes the other's time.
pub(crate) struct Cores {
    /// The two cores; none if this process may use fewer than two.
    chosen: Option<(usize, usize)>,
}

impl Cores {
    pub(crate) fn choose() -> Self {
        let allowed = sched_getaffinity(None::<Pid>).unwrap();
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        // First and last: on larger machines these are not two threads of one core.
        Self { chosen: cores.next().zip(cores.next_back()) }
    }

    /// Starts a child on the servers' core: it inherits where this thread runs.
    pub(crate) fn on_server_core<T>(&self, start: impl FnOnce() -> T) -> T {
        self.pin(|(server, _)| server);
        let started = start();
        self.use_for_load();
        started
    }

    pub(crate) fn use_for_load(&self) {
        self.pin(|(_, load)| load);
    }

    pub(crate) fn describe(&self) -> String {
        match self.chosen {
            Some((server, load)) => format!("servers on core {server}, load on core {load}"),
            None => "NOT PINNED: servers and load share one core, so rates say little".to_owned(),
        }
    }

    fn pin(&self, which: impl FnOnce((usize, usize)) -> usize) {
        let Some(chosen) = self.chosen else { return };
        let mut set = CpuSet::new();
        set.set(which(chosen));
        sched_setaffinity(None::<Pid>, &set).unwrap();
    }
}
