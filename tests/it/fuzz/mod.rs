//! Fuzz tests of untrusted inputs: scenario files, records, and frames of an agent. No reader may panic or take more
//! than a second, whatever the input is.
//!
//! `cargo xtask fuzz 1000000` tests many mutated inputs. A plain test run tests a few mutated inputs, and all
//! regression inputs in `tests/fuzz`. Each regression input once made a reader fail. An input that causes a new kind of
//! result is added to the pool of inputs to mutate, so that the tests reach more of the readers' code than a fixed set
//! of inputs would.

mod mutate;
mod readers;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use self::mutate::Mutator;
use self::readers::{READERS, Reader};

/// The variable that contains the number of inputs. `cargo xtask fuzz` sets this variable.
const INPUTS: &str = "PARALLAX_FUZZ";
/// The variable that contains the seed. With another seed, a run tests other inputs.
const SEED: &str = "PARALLAX_FUZZ_SEED";
/// The variable that contains the name of the only reader to test. Without it, all readers are tested.
const READER: &str = "PARALLAX_FUZZ_READER";
/// The default number of inputs. Testing this number takes a few seconds.
const FEW: usize = 3_000;
/// The processor time that a reader may use for one input.
const LIMIT: Duration = Duration::from_secs(1);
/// The processor time after which a reader without a result counts as stuck. The test then ends and reports the input.
const STUCK: Duration = Duration::from_mins(1);
/// The time after which a reader without a result counts as waiting for something. No reader may wait, even on a
/// machine under load.
const WAITS: Duration = Duration::from_mins(15);
/// The largest number of inputs in the pool, from which the test takes the inputs to mutate.
const POOL: usize = 4_000;

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Returns the folder of the regression inputs of a reader.
fn regression_inputs(reader: &Reader) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(reader.name)
}

/// Returns all regular files of a folder, sorted by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Returns the processor time of this thread. Wall-clock time would be wrong, because other processes use this machine
/// too, and a thread that waits for them is not slow.
fn worked() -> Duration {
    processor_time(rustix::time::ClockId::ThreadCPUTime)
}

/// Returns the processor time that all threads of this process have used.
fn all_worked() -> Duration {
    processor_time(rustix::time::ClockId::ProcessCPUTime)
}

fn processor_time(clock: rustix::time::ClockId) -> Duration {
    Duration::try_from(rustix::time::clock_gettime(clock)).expect("processor time is not negative")
}

/// Runs a reader on an input. Returns the fault, and a hash of the result. The fault is `None` if the reader ended in
/// time without a panic. Similar results have the same hash. The caller adds an input with a new hash to the pool of
/// inputs to mutate.
fn fault(reader: &Reader, input: &[u8]) -> (Option<String>, u64) {
    let try_it = || {
        let began = worked();
        let result = catch_unwind(AssertUnwindSafe(|| (reader.read)(input)));
        (result, worked().saturating_sub(began))
    };
    let (result, took) = try_it();
    let Ok(result) = result else { return (Some("it panicked".to_owned()), 0) };
    let slow = (took > LIMIT).then(|| format!("it took {} ms", took.as_millis()));
    let mut shape = DefaultHasher::new();
    result.chars().filter(|c| !c.is_ascii_digit()).collect::<String>().hash(&mut shape);
    (slow, shape.finish())
}

#[test]
fn regression_inputs_are_read() {
    for reader in READERS {
        let files = files(&regression_inputs(reader));
        assert!(!files.is_empty(), "there are no regression inputs for {}", reader.name);
        for file in files {
            let (fault, _) = fault(reader, &std::fs::read(&file).unwrap());
            assert_eq!(fault, None, "{}", file.display());
        }
    }
}

/// Tests that the check detects a reader that panics, and a slow reader.
#[test]
fn a_reader_that_panics_or_takes_too_long_is_caught() {
    let panics = Reader { name: "panics", read: |_| panic!("on purpose"), seeds: Vec::new };
    assert_eq!(fault(&panics, b"x").0.as_deref(), Some("it panicked"));
    let slow = |_: &[u8]| {
        let until = worked() + LIMIT + Duration::from_millis(50);
        while worked() < until {
            std::hint::spin_loop();
        }
        String::new()
    };
    let slow = Reader { name: "slow", read: slow, seeds: Vec::new };
    assert!(fault(&slow, b"x").0.is_some_and(|fault| fault.starts_with("it took 10")));
}

#[test]
fn no_mutated_input_makes_a_reader_fail() {
    let inputs = number(INPUTS, FEW);
    let seed = number(SEED, 1) as u64;
    let only = std::env::var(READER).ok();
    let readers: Vec<&Reader> = READERS.iter().filter(|it| only.as_ref().is_none_or(|only| it.name == only)).collect();
    assert!(!readers.is_empty(), "{READER}={only:?} is no reader");
    let each = inputs / readers.len();
    let mut faults = Vec::new();
    for reader in readers {
        let began = Instant::now();
        let run = Run::new(reader);
        run.all(each, seed);
        let shapes = run.shapes.lock().unwrap().len();
        let found = run.faults.into_inner().unwrap();
        eprintln!(
            "{}: {}{} inputs in {:.1?}, {shapes} shapes of answers, {} faults",
            reader.name,
            if found.is_empty() { "" } else { "at most " },
            each,
            began.elapsed(),
            found.len()
        );
        // If all inputs failed at the reader's first check, the test would prove nothing. So there must be many
        // different results.
        assert!(shapes >= 20, "{}: only {shapes} shapes of answers", reader.name);
        faults.extend(found);
    }
    assert_eq!(faults, Vec::<String>::new());
}

/// The time at which a worker started to read an input, and the processor time that all workers had used until then.
#[derive(Clone, Copy)]
struct Began(Instant, Duration);

impl Began {
    fn now() -> Self {
        Self(Instant::now(), all_worked())
    }

    /// Whether a reader that started at the moment `self` is stuck. `workers` is the number of workers. The workers
    /// share the processor time, so the limit grows with this number.
    fn is_stuck(self, workers: usize) -> bool {
        let shared = STUCK * u32::try_from(workers).unwrap_or(u32::MAX);
        all_worked().saturating_sub(self.1) > shared || self.0.elapsed() > WAITS
    }
}

/// The input that a worker is reading, and the time at which the worker started. `None` if the worker reads nothing.
type Doing = Mutex<Option<(Began, Vec<u8>)>>;

/// The state of the test of one reader, which its workers share.
struct Run {
    reader: &'static Reader,
    pool: Mutex<Vec<Vec<u8>>>,
    shapes: Mutex<HashSet<u64>>,
    faults: Mutex<Vec<String>>,
    next: AtomicUsize,
    over: AtomicBool,
}

impl Run {
    fn new(reader: &'static Reader) -> Self {
        let mut pool = (reader.seeds)();
        pool.extend(files(&regression_inputs(reader)).iter().map(|file| std::fs::read(file).unwrap()));
        Self {
            reader,
            pool: Mutex::new(pool),
            shapes: Mutex::default(),
            faults: Mutex::default(),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    fn all(&self, inputs: usize, seed: u64) {
        let seeds = self.pool.lock().unwrap().clone();
        let mutator = Mutator::new(&seeds);
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let doing: Vec<Doing> = (0..workers).map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            let running: Vec<_> = doing
                .iter()
                .enumerate()
                .map(|(worker, doing)| {
                    let mutator = &mutator;
                    let worker = worker as u64;
                    let work = move || self.work(inputs, mutator, ChaCha8Rng::seed_from_u64(seed << 8 | worker), doing);
                    // The stack is as large as that of the harness's threads, so that a deep recursion fails here too.
                    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn_scoped(scope, work).unwrap()
                })
                .collect();
            while !running.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                // No event reports a stuck worker, so this loop checks the workers repeatedly. The loop ends when the
                // workers end.
                std::thread::sleep(Duration::from_millis(100));
                for slot in &doing {
                    let stuck = slot.lock().unwrap().clone().filter(|(began, _)| began.is_stuck(workers));
                    if let Some((_, input)) = stuck {
                        eprintln!(
                            "{}: no answer within {STUCK:?} of processor time, or {WAITS:?}",
                            self.found(&input, "it never ended")
                        );
                        std::process::exit(101);
                    }
                }
            }
        });
    }

    fn work(&self, inputs: usize, mutator: &Mutator, mut random: ChaCha8Rng, doing: &Doing) {
        while self.next.fetch_add(1, Ordering::Relaxed) < inputs && !self.over.load(Ordering::Relaxed) {
            let input = {
                let pool = self.pool.lock().unwrap();
                mutator.mutated(&pool, &mut random)
            };
            *doing.lock().unwrap() = Some((Began::now(), input.clone()));
            let (fault, shape) = fault(self.reader, &input);
            *doing.lock().unwrap() = None;
            if let Some(fault) = fault {
                let found = self.found(&input, &fault);
                let mut faults = self.faults.lock().unwrap();
                faults.push(found);
                // The test stops after ten faults, because further faults probably have the same causes.
                if faults.len() >= 10 {
                    self.over.store(true, Ordering::Relaxed);
                }
            } else if self.shapes.lock().unwrap().insert(shape) {
                let mut pool = self.pool.lock().unwrap();
                if pool.len() < POOL {
                    pool.push(input);
                }
            }
        }
    }

    /// Saves an input on which a reader failed. Returns a description of the fault with the path of the saved input.
    fn found(&self, input: &[u8], fault: &str) -> String {
        let mut name = DefaultHasher::new();
        input.hash(&mut name);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}-{:016x}", self.reader.name, name.finish()));
        std::fs::write(&path, input).unwrap();
        format!("{} of {}: {fault}", path.display(), self.reader.name)
    }
}
