//! The supervisor with a clock of the tests' own.

use proptest::prelude::*;

use super::*;

/// A supervisor, and the time.
struct Ward {
    supervisor: Supervisor,
    now: Instant,
}

impl Ward {
    fn new() -> Self {
        Self { supervisor: Supervisor::new(), now: Instant::now() }
    }

    fn pass(&self) -> Pass {
        self.supervisor.admit(self.now).unwrap()
    }

    fn refused(&self) -> Duration {
        self.supervisor.admit(self.now).unwrap_err().retry_in
    }

    fn call(&self, verdict: Verdict<'_>) -> Option<Change> {
        self.supervisor.close(self.pass(), verdict, || self.now)
    }

    fn fail(&self) -> Option<Change> {
        self.call(Verdict::Failed("it trapped"))
    }

    /// Fails until it is in quarantine, and says for how long.
    fn fall(&self) -> Duration {
        for _ in 0..ROW {
            if let Some(Change::Entered { length, .. }) = self.fail() {
                return length;
            }
        }
        panic!("{:?}", self.supervisor);
    }

    fn pass_time(&mut self, time: Duration) {
        self.now += time;
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn failures_in_a_row_begin_a_quarantine_and_one_answer_heals() {
    let mut ward = Ward::new();
    for _ in 1..ROW {
        assert_eq!(ward.fail(), None);
    }
    assert_eq!(ward.fail(), Some(Change::Entered { length: SHORTEST, row: ROW }));
    assert_eq!(
        ward.supervisor.admit(ward.now).unwrap_err(),
        Refusal { retry_in: SHORTEST, reason: "it trapped".into() }
    );
    ward.pass_time(SHORTEST - SECOND);
    assert_eq!(ward.refused(), SECOND);
    let seen = ward.supervisor.quarantine().unwrap();
    assert_eq!((seen.until - ward.now, seen.until - seen.since), (SECOND, SHORTEST));
    ward.pass_time(SECOND);
    assert_eq!(ward.call(Verdict::Answered), Some(Change::Left));
    assert_eq!(ward.supervisor.quarantine(), None);
    assert_eq!(ward.call(Verdict::Answered), None);
}

#[test]
fn an_answer_between_failures_begins_the_row_anew() {
    let ward = Ward::new();
    for _ in 0..100 {
        for _ in 1..ROW {
            assert_eq!(ward.fail(), None);
        }
        assert_eq!(ward.call(Verdict::Answered), None);
    }
}

#[test]
fn failures_far_apart_are_no_row() {
    let mut ward = Ward::new();
    for _ in 0..100 {
        assert_eq!(ward.fail(), None);
        ward.pass_time(WINDOW + SECOND);
    }
}

#[test]
fn calls_that_were_given_up_say_nothing() {
    let ward = Ward::new();
    for _ in 1..ROW {
        assert_eq!(ward.fail(), None);
        assert_eq!(ward.call(Verdict::Silent), None);
    }
    assert!(matches!(ward.fail(), Some(Change::Entered { .. })));
}

#[test]
fn each_failed_trial_doubles_the_quarantine_up_to_ten_minutes() {
    let mut ward = Ward::new();
    let mut lengths = vec![ward.fall().as_secs()];
    for _ in 0..8 {
        ward.pass_time(LONGEST);
        let Some(Change::Entered { length, .. }) = ward.fail() else { panic!("{:?}", ward.supervisor) };
        lengths.push(length.as_secs());
    }
    assert_eq!(lengths, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
}

#[test]
fn a_plugin_that_falls_again_soon_is_kept_for_longer_and_one_that_stood_for_a_while_is_not() {
    let mut ward = Ward::new();
    assert_eq!(ward.fall(), SHORTEST);
    ward.pass_time(SHORTEST);
    assert_eq!(ward.call(Verdict::Answered), Some(Change::Left));
    assert_eq!(ward.fall(), SHORTEST * 2);
    ward.pass_time(SHORTEST * 2);
    assert_eq!(ward.call(Verdict::Answered), Some(Change::Left));
    ward.pass_time(CALM + SECOND);
    assert_eq!(ward.fall(), SHORTEST);
}

#[test]
fn one_trial_at_a_time_and_one_that_is_given_up_makes_room_for_the_next() {
    let mut ward = Ward::new();
    ward.fall();
    ward.pass_time(SHORTEST);
    let trial = ward.pass();
    assert_eq!(ward.refused(), DURING_TRIAL);
    assert_eq!(ward.supervisor.close(trial, Verdict::Silent, || ward.now), None);
    let trial = ward.pass();
    assert_eq!(ward.refused(), DURING_TRIAL);
    assert_eq!(ward.supervisor.close(trial, Verdict::Answered, || ward.now), Some(Change::Left));
}

#[test]
fn calls_in_flight_that_all_fail_begin_one_quarantine_of_ordinary_length() {
    let ward = Ward::new();
    let passes: Vec<Pass> = (0..100).map(|_| ward.pass()).collect();
    let close = |pass| ward.supervisor.close(pass, Verdict::Failed("all at once"), || ward.now);
    let changes: Vec<Change> = passes.into_iter().filter_map(close).collect();
    assert_eq!(changes, [Change::Entered { length: SHORTEST, row: ROW }]);
    assert_eq!(ward.refused(), SHORTEST);
}

#[test]
fn a_call_from_before_the_quarantine_neither_heals_nor_prolongs_it() {
    let mut ward = Ward::new();
    let (early, late) = (ward.pass(), ward.pass());
    ward.fall();
    assert_eq!(ward.supervisor.close(early, Verdict::Answered, || ward.now), None);
    ward.pass_time(SHORTEST);
    let trial = ward.pass();
    assert_eq!(ward.supervisor.close(late, Verdict::Failed("late"), || ward.now), None);
    assert_eq!(ward.refused(), DURING_TRIAL, "the trial still runs");
    assert_eq!(ward.supervisor.close(trial, Verdict::Answered, || ward.now), Some(Change::Left));
}

#[test]
fn a_reset_ends_a_quarantine_and_its_trials_count_for_nothing() {
    let mut ward = Ward::new();
    assert_eq!(ward.supervisor.reset(), None);
    ward.fall();
    ward.pass_time(SHORTEST);
    let old = ward.pass();
    assert_eq!(ward.supervisor.reset(), Some(Change::Left));
    assert_eq!(ward.fall(), SHORTEST, "nothing is left of the first");
    ward.pass_time(SHORTEST);
    let new = ward.pass();
    assert_eq!(ward.supervisor.close(old, Verdict::Answered, || ward.now), None);
    assert_eq!(ward.refused(), DURING_TRIAL);
    assert_eq!(ward.supervisor.close(new, Verdict::Answered, || ward.now), Some(Change::Left));
}

#[test]
fn threads_that_fail_and_try_at_once_begin_one_quarantine_and_one_trial() {
    let mut ward = Ward::new();
    for round in 0..50 {
        let entered: usize = on_threads(|| {
            let fail = || ward.supervisor.admit(ward.now).ok().map(|pass| (pass, Verdict::Failed("it trapped")));
            let close = |(pass, verdict)| ward.supervisor.close(pass, verdict, || ward.now);
            (0..20).filter_map(|_| fail().and_then(close)).count()
        });
        assert_eq!(entered, 1, "{round}");
        ward.pass_time(LONGEST);
        let trials = std::sync::Mutex::new(Vec::new());
        on_threads(|| {
            let admitted = ward.supervisor.admit(ward.now).into_iter();
            trials.lock().unwrap().extend(admitted);
            0
        });
        let mut trials = trials.into_inner().unwrap();
        assert_eq!(trials.len(), 1, "{round}");
        let change = ward.supervisor.close(trials.remove(0), Verdict::Answered, || ward.now);
        assert_eq!(change, Some(Change::Left));
    }
}

/// The sum of what four threads count at once.
fn on_threads(work: impl Fn() -> usize + Sync) -> usize {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(&work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Admit,
    /// Ends one of the calls that run.
    Close(prop::sample::Index, Option<bool>),
    Wait(u64),
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Admit),
        6 => (any::<prop::sample::Index>(), prop_oneof![4 => Just(Some(false)), 1 => Just(Some(true)), 1 => Just(None)])
            .prop_map(|(index, verdict)| Step::Close(index, verdict)),
        2 => (0_u64..900).prop_map(Step::Wait),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn whatever_happens_there_is_one_trial_at_most_and_a_way_back(steps in steps()) {
        let mut ward = Ward::new();
        let mut running: Vec<Pass> = Vec::new();
        for step in steps {
            match step {
                Step::Admit => match ward.supervisor.admit(ward.now) {
                    Ok(pass) => running.push(pass),
                    Err(refusal) => {
                        prop_assert!(!refusal.retry_in.is_zero() && refusal.retry_in <= LONGEST);
                        prop_assert!(ward.supervisor.quarantine().is_some());
                    }
                },
                Step::Close(index, verdict) if !running.is_empty() => {
                    let pass = running.swap_remove(index.index(running.len()));
                    let verdict = match verdict {
                        Some(true) => Verdict::Answered,
                        Some(false) => Verdict::Failed("it trapped"),
                        None => Verdict::Silent,
                    };
                    let before = ward.supervisor.quarantine().is_some();
                    let change = ward.supervisor.close(pass, verdict, || ward.now);
                    let after = ward.supervisor.quarantine().is_some();
                    match change {
                        Some(Change::Entered { length, .. }) => {
                            prop_assert!(after && (SHORTEST..=LONGEST).contains(&length));
                        }
                        Some(Change::Left) => prop_assert!(before && !after),
                        None => prop_assert_eq!(before, after),
                    }
                }
                Step::Close(..) => {}
                Step::Wait(seconds) => ward.pass_time(SECOND * u32::try_from(seconds).unwrap()),
                Step::Reset => drop(ward.supervisor.reset()),
            }
            let current = match &ward.supervisor.lock().phase {
                Phase::Ready => None,
                Phase::Quarantined { trial, .. } => *trial,
            };
            let trials = running.iter().filter(|pass| pass.trial.is_some() && pass.trial == current).count();
            prop_assert_eq!(trials, usize::from(current.is_some()), "the trial that runs is one of the calls");
            prop_assert_eq!(ward.supervisor.calm.load(Ordering::Relaxed), ward.supervisor.lock().is_calm());
        }
        for pass in running {
            ward.supervisor.close(pass, Verdict::Silent, || ward.now);
        }
        ward.pass_time(LONGEST);
        let way_back = ward.supervisor.admit(ward.now);
        prop_assert!(way_back.is_ok(), "{:?}", ward.supervisor);
        ward.supervisor.close(way_back.unwrap(), Verdict::Answered, || ward.now);
        prop_assert!(ward.supervisor.lock().is_calm());
    }
}
