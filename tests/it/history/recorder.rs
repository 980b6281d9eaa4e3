//! What was asked and answered, in the order in which it happened.

use std::collections::{HashMap, HashSet};
use std::fmt::{Debug, Write as _};
use std::sync::Mutex;

use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};

/// The history of one object.
pub(super) struct Recorder<S: SequentialSpec> {
    begin: S,
    /// Who writes here holds the lock: so the list has the order of time.
    moments: Mutex<Vec<Moment<S>>>,
}

enum Moment<S: SequentialSpec> {
    Asked {
        request: usize,
        operation: S::Op,
    },
    Answered {
        request: usize,
        answer: S::Ret,
    },
    /// It was not done.
    Undone {
        request: usize,
    },
}

impl<S> Recorder<S>
where
    S: SequentialSpec + Clone,
    S::Op: Clone + Debug,
    S::Ret: Clone + Debug,
{
    pub(super) fn new(begin: S) -> Self {
        Self { begin, moments: Mutex::default() }
    }

    /// Right before a request is sent; its number in the history.
    pub(super) fn asked(&self, operation: S::Op) -> usize {
        let mut moments = self.moments.lock().unwrap();
        let request = moments.len();
        moments.push(Moment::Asked { request, operation });
        request
    }

    /// As soon as its answer is there.
    pub(super) fn answered(&self, request: usize, answer: S::Ret) {
        self.moments.lock().unwrap().push(Moment::Answered { request, answer });
    }

    /// As soon as it is known that it was not done.
    pub(super) fn undone(&self, request: usize) {
        self.moments.lock().unwrap().push(Moment::Undone { request });
    }

    /// Whether there is an order that explains the answers; the history, if there is none.
    pub(super) fn check(&self) -> Result<(), String> {
        let moments = self.moments.lock().unwrap();
        let undone: HashSet<usize> = moments
            .iter()
            .filter_map(|moment| if let Moment::Undone { request } = moment { Some(*request) } else { None })
            .collect();
        let mut tester = LinearizabilityTester::new(self.begin.clone());
        // A thread of the checker does one thing after the other, and one that was never answered nothing else: a request takes a thread
        // that has none under way.
        let (mut threads, mut busy) = (Vec::<bool>::new(), HashMap::<usize, usize>::new());
        let mut told = String::new();
        for moment in &*moments {
            match moment {
                Moment::Asked { request, operation } if !undone.contains(request) => {
                    let thread = threads.iter().position(|busy| !busy).unwrap_or(threads.len());
                    threads.resize(threads.len().max(thread + 1), false);
                    threads[thread] = true;
                    busy.insert(*request, thread);
                    tester.on_invoke(thread, operation.clone()).unwrap();
                    writeln!(told, "{request}: {operation:?}").unwrap();
                }
                Moment::Answered { request, answer } => {
                    let thread = busy[request];
                    threads[thread] = false;
                    tester.on_return(thread, answer.clone()).unwrap();
                    writeln!(told, "      {request}: {answer:?}").unwrap();
                }
                Moment::Asked { .. } | Moment::Undone { .. } => {}
            }
        }
        if tester.is_consistent() { Ok(()) } else { Err(told) }
    }
}
