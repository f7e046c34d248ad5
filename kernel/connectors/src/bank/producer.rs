//! Writes the bank's transactions to a topic, evenly, on a thread of its own: record n has its time, and is sent when
//! that has come. A producer that is behind, as every one with a history is at first, sends as fast as it can until it
//! has caught up; so the records are in order of their times, and the same whatever the machine.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::SourceError;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::Generator;
use super::schedule::Schedule;
use crate::kafka::{Context, KafkaOptions, create, from_kafka, producer_config};

/// Records between two looks at the clock and the broker's answers.
const AT_ONCE: u64 = 500;
/// How often records that are due are sent: short enough for an even stream, and long enough that who reads it is not
/// woken for every record.
const TICK: Duration = Duration::from_millis(5);
/// How long the first answer of the broker may take, and how long the last ones.
const FIRST_ANSWER: Duration = Duration::from_secs(5);
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// What is produced, and where to.
#[derive(Clone, Debug)]
pub struct ProduceConfig {
    /// `host:port`, several with commas.
    pub bootstrap: String,
    /// The topic; created if it is not there.
    pub topic: String,
    /// The partitions of a topic that is created.
    pub partitions: i32,
    /// Records a second; zero for as many as the machine gives.
    pub rate: f64,
    /// Records in all, the history's among them; without it there is no end.
    pub count: Option<u64>,
    /// The same seed, start, history and rate give the same records.
    pub seed: u64,
    /// The first record is of so long before `start`; what is in the past is sent as fast as possible.
    pub history: Duration,
    /// Where the present begins, in milliseconds since the epoch; now, if it is not said. With a rate of zero and a
    /// count, the records are spread over the time before it, one a millisecond; with neither, each is of the moment
    /// it is sent, and only then no run is like another.
    pub start_ms: Option<i64>,
    /// Settings of librdkafka, as for a source.
    pub settings: std::collections::BTreeMap<String, String>,
}

impl Default for ProduceConfig {
    fn default() -> ProduceConfig {
        ProduceConfig {
            bootstrap: "127.0.0.1:9092".to_owned(),
            topic: "transactions".to_owned(),
            partitions: 4,
            rate: 1_000.0,
            count: None,
            seed: 1,
            history: Duration::ZERO,
            start_ms: None,
            settings: std::collections::BTreeMap::new(),
        }
    }
}

/// A running producer; it stops when dropped.
pub struct Producer {
    tally: Arc<Tally>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the broker has said so far.
#[derive(Default)]
struct Tally {
    acknowledged: AtomicU64,
    malformed: AtomicU64,
    failed: AtomicBool,
    error: Mutex<Option<SourceError>>,
}

impl Producer {
    /// Creates the topic if it is not there, and begins to produce. Returns once the broker has taken the first records,
    /// so that who reads the topic next finds some.
    ///
    /// # Errors
    /// A bad address, a broker that cannot be reached or refuses, or no thread.
    pub fn start(config: ProduceConfig) -> Result<Producer, SourceError> {
        let options = KafkaOptions {
            bootstrap: config.bootstrap.clone(),
            topic: config.topic.clone(),
            settings: config.settings.clone(),
            ..KafkaOptions::default()
        };
        create(&options, config.partitions)?;
        let tally = Arc::new(Tally::default());
        let (begun, first) = channel();
        let counted = Counted { context: Context::default(), tally: tally.clone(), begun };
        let what = format!("the topic \"{}\" cannot be written", config.topic);
        let words = counted.context.words.clone();
        let producer: BaseProducer<Counted> = producer_config(&options)
            .create_with_context(counted)
            .map_err(|error| from_kafka(&options, &what, &error, &words))?;
        let (stop, stopped) = channel();
        let some = config.count != Some(0);
        let run = Run {
            schedule: Schedule::new(&config),
            generator: Generator::new(config.seed),
            producer,
            options,
            tally: tally.clone(),
            stopped,
        };
        let thread =
            std::thread::Builder::new().name("bank producer".to_owned()).spawn(move || run.run()).map_err(|error| {
                SourceError {
                    fact: what.clone(),
                    detail: error.to_string(),
                    hint: "See whether the machine has threads left.".to_owned(),
                    retry: true,
                }
            })?;
        let mut started = Producer { tally, stop: Some(stop), thread: Some(thread) };
        if some && first.recv_timeout(FIRST_ANSWER).is_err() {
            started.stop_without_answers();
            return Err(started.error().unwrap_or_else(|| SourceError {
                fact: what,
                detail: words
                    .last()
                    .unwrap_or_else(|| format!("the broker took no record within {} s", FIRST_ANSWER.as_secs())),
                hint: format!("See whether the Kafka broker at {} is well.", config.bootstrap),
                retry: true,
            }));
        }
        Ok(started)
    }

    /// Records the broker has acknowledged so far.
    #[must_use]
    pub fn produced(&self) -> u64 {
        self.tally.acknowledged.load(Ordering::Relaxed)
    }

    /// Malformed ones among those that were made so far.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.tally.malformed.load(Ordering::Relaxed)
    }

    /// Why it ended before its count, if it did; said once.
    #[must_use]
    pub fn error(&self) -> Option<SourceError> {
        self.tally.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether it has nothing more to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops, once all that was sent is acknowledged; gives the number of acknowledged records.
    pub fn stop(&mut self) -> u64 {
        drop(self.stop.take());
        self.wait()
    }

    /// Waits until the count is reached; gives the number of acknowledged records.
    pub fn wait(&mut self) -> u64 {
        if let Some(thread) = self.thread.take() {
            // It panicked, or it did not: what was acknowledged is what there is.
            let _ = thread.join();
        }
        self.produced()
    }

    /// Stops with a broker that does not answer: its answers are not waited for.
    fn stop_without_answers(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.wait();
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What librdkafka calls back, on the producing thread.
struct Counted {
    context: Context,
    tally: Arc<Tally>,
    begun: Sender<()>,
}

impl ClientContext for Counted {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Counted {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        match delivered {
            Ok(_) => {
                if self.tally.acknowledged.fetch_add(1, Ordering::Relaxed) == 0 {
                    // Nobody waits any more if the answer comes late.
                    let _ = self.begun.send(());
                }
            }
            Err((error, _)) => self.tally.fail(&self.context, error),
        }
    }
}

impl Tally {
    fn fail(&self, context: &Context, error: &KafkaError) {
        if self.failed.swap(true, Ordering::Relaxed) {
            return;
        }
        let last = context.words.last().map_or_else(String::new, |words| format!("; {words}"));
        let error = SourceError {
            fact: "a record could not be written".to_owned(),
            detail: format!("{error}{last}"),
            hint: "See whether the Kafka broker is well and still has the topic.".to_owned(),
            retry: true,
        };
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// The producing thread's own.
struct Run {
    schedule: Schedule,
    generator: Generator,
    producer: BaseProducer<Counted>,
    options: KafkaOptions,
    tally: Arc<Tally>,
    stopped: Receiver<()>,
}

/// How the caller wants it to end.
enum Stop {
    /// What was sent is to be acknowledged.
    Flush,
    /// The broker does not answer.
    Drop,
}

impl Run {
    fn run(mut self) {
        let how = self.produce();
        if matches!(how, Stop::Drop) || self.tally.has_failed() {
            self.producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        }
        let deadline = Instant::now() + LAST_ANSWERS;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            // Serves the answers while it waits; a plain poll would leave what lingers.
            let _ = self.producer.flush(Duration::from_millis(100));
        }
    }

    fn produce(&mut self) -> Stop {
        let mut n = 0;
        while !self.schedule.is_over(n) && !self.tally.has_failed() {
            let upto = n + AT_ONCE;
            while n < upto && !self.schedule.is_over(n) && self.schedule.wait(n).is_zero() {
                if let Err(stop) = self.send(n) {
                    return stop;
                }
                n += 1;
            }
            self.tally.malformed.store(self.generator.malformed(), Ordering::Relaxed);
            self.producer.poll(Duration::ZERO);
            let ahead = !self.schedule.wait(n).is_zero();
            if let Err(stop) = self.rest(if ahead { TICK } else { Duration::ZERO }) {
                return stop;
            }
        }
        Stop::Flush
    }

    /// Sends record `n`, when there is room for it.
    fn send(&mut self, n: u64) -> Result<(), Stop> {
        let record = self.generator.next(self.schedule.time_ms(n));
        let mut sent =
            BaseRecord::to(&self.options.topic).key(record.key).payload(record.value).timestamp(record.time_ms);
        loop {
            match self.producer.send(sent) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => sent = back,
                Err((error, _)) => {
                    self.tally.fail(&self.producer.context().context, &error);
                    return Err(Stop::Drop);
                }
            }
            self.producer.poll(TICK);
            rest(&self.stopped, Duration::ZERO)?;
        }
    }

    fn rest(&self, time: Duration) -> Result<(), Stop> {
        rest(&self.stopped, time)
    }
}

/// Waits; ends with how to stop, if the caller wants to.
fn rest(stopped: &Receiver<()>, time: Duration) -> Result<(), Stop> {
    let said = if time.is_zero() {
        stopped.try_recv().map_err(|error| error == TryRecvError::Disconnected)
    } else {
        stopped.recv_timeout(time).map_err(|error| error == RecvTimeoutError::Disconnected)
    };
    match said {
        Ok(()) => Err(Stop::Drop),
        Err(true) => Err(Stop::Flush),
        Err(false) => Ok(()),
    }
}
