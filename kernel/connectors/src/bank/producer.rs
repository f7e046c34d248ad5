//! Writes the bank's transactions to a topic, evenly, on a thread of its own: record n has its time, and is sent when
//! that has come. A producer that is behind, as every one with a history is at first, sends as fast as it can until it
//! has caught up; so the records are in order of their times, and the same whatever the machine. They are written and sent
//! by what writes and sends the rows of a query, less its transactions: nobody asks where the demo's stream was cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::SourceError;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::Generator;
use super::schedule::Schedule;
use crate::kafka::{Answers, Deliveries, KafkaOptions, LastWords, Record, create, from_kafka, producer_config, send};

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
    answers: Arc<Answers>,
    words: LastWords,
    malformed: Arc<AtomicU64>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
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
        let (begun, first) = channel();
        let deliveries = Deliveries::telling(begun);
        let what = format!("the topic \"{}\" cannot be written", config.topic);
        let (answers, words) = (deliveries.answers.clone(), deliveries.context.words.clone());
        let malformed = Arc::new(AtomicU64::new(0));
        let producer: BaseProducer<Deliveries> = producer_config(&options)
            .create_with_context(deliveries)
            .map_err(|error| from_kafka(&options, &what, &error, &words))?;
        let (stop, stopped) = channel();
        let some = config.count != Some(0);
        let run = Run {
            schedule: Schedule::new(&config),
            generator: Generator::new(config.seed),
            producer,
            topic: options.topic,
            malformed: malformed.clone(),
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
        let mut started = Producer { answers, words: words.clone(), malformed, stop: Some(stop), thread: Some(thread) };
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
        self.answers.acknowledged()
    }

    /// Malformed ones among those that were made so far.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Why it ended before its count, if it did.
    #[must_use]
    pub fn error(&self) -> Option<SourceError> {
        let error = self.answers.failed()?;
        let last = self.words.last().map_or_else(String::new, |words| format!("; {words}"));
        Some(SourceError {
            fact: "a record could not be written".to_owned(),
            detail: format!("{error}{last}"),
            hint: "See whether the Kafka broker is well and still has the topic.".to_owned(),
            retry: true,
        })
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

/// The producing thread's own.
struct Run {
    schedule: Schedule,
    generator: Generator,
    producer: BaseProducer<Deliveries>,
    topic: String,
    malformed: Arc<AtomicU64>,
    stopped: Receiver<()>,
}

/// How it ends.
enum Stop {
    /// What was sent is to be acknowledged.
    Flush,
    /// The broker does not answer.
    Drop,
    /// A record was refused.
    Failed(KafkaError),
}

impl From<KafkaError> for Stop {
    fn from(error: KafkaError) -> Stop {
        Stop::Failed(error)
    }
}

impl Run {
    fn run(mut self) {
        let how = self.produce().err().unwrap_or(Stop::Flush);
        let is_over = matches!(how, Stop::Drop | Stop::Failed(_));
        if let Stop::Failed(error) = how {
            self.answers().fail(error);
        }
        if is_over || self.answers().failed().is_some() {
            self.producer.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        }
        let deadline = Instant::now() + LAST_ANSWERS;
        while self.producer.in_flight_count() > 0 && Instant::now() < deadline {
            // Serves the answers while it waits; a plain poll would leave what lingers.
            let _ = self.producer.flush(Duration::from_millis(100));
        }
    }

    /// Produces until it is stopped or there is no more to do.
    fn produce(&mut self) -> Result<(), Stop> {
        let mut n = 0;
        while !self.schedule.is_over(n) && self.answers().failed().is_none() {
            let upto = n + AT_ONCE;
            while n < upto && !self.schedule.is_over(n) && self.schedule.wait(n).is_zero() {
                self.send(n)?;
                n += 1;
            }
            self.malformed.store(self.generator.malformed(), Ordering::Relaxed);
            self.producer.poll(Duration::ZERO);
            let ahead = !self.schedule.wait(n).is_zero();
            rest(&self.stopped, if ahead { TICK } else { Duration::ZERO })?;
        }
        Ok(())
    }

    /// Sends record `n`, when there is room for it.
    fn send(&mut self, n: u64) -> Result<(), Stop> {
        let made = self.generator.next(self.schedule.time_ms(n));
        let record = Record {
            key: Some(made.key.as_bytes()),
            value: Some(made.value),
            timestamp_ms: Some(made.time_ms),
            ..Record::default()
        };
        send(&self.producer, &self.topic, record, |_| rest(&self.stopped, Duration::ZERO))
    }

    fn answers(&self) -> &Answers {
        &self.producer.context().answers
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
