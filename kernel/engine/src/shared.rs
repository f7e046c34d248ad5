//! One consumer for several queries. In front of a source stands a bounded cache of what it gave, by partition and range of
//! offsets. Queries keep their own positions and cuts: those near the head read what is there, and whoever comes to the
//! head fetches the next; one that lags behind reads by a source of its own until it has caught up.
//!
//! There is no thread here: the queries' own threads fetch, one at a time, and the others wait for what it brings.

mod cache;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

use crate::physical::RowFilter;
use polars::prelude::{PlSmallStr, SchemaExt as _, SchemaRef};
use sha2::{Digest as _, Sha256};

use crate::position::Offsets;
use crate::query::OpenSource;
use crate::source::{Resumed, Source, SourceBatch, SourceError};
use cache::{Cache, CachePlace, ReadSpec, Wanted};

/// Rows fetched in one go: a query takes whole goes, or reads by itself.
const AT_ONCE: usize = 32_768;

/// The sources of a process that several queries may read together.
#[derive(Clone, Default)]
pub struct Sharing(Arc<Mutex<HashMap<[u8; 32], Weak<Hub>>>>);

impl Sharing {
    /// A way to a source that is shared with all others of the same `identity`, of which only a hash is kept; `schema` are
    /// all its columns. `open` must open the same log each time, and [`DeadLetter::field`](crate::DeadLetter) must tell when
    /// a record is none only for a column's sake.
    #[must_use]
    pub fn share(&self, identity: &str, schema: SchemaRef, open: OpenSource) -> OpenSource {
        let sharing = self.clone();
        let identity: [u8; 32] = Sha256::digest(identity).into();
        Arc::new(move |columns: &[PlSmallStr]| {
            let hub = sharing.hub(identity, &schema, &open);
            Ok(Box::new(SharedSource::open(hub, columns)?) as Box<dyn Source>)
        })
    }

    fn hub(&self, identity: [u8; 32], schema: &SchemaRef, open: &OpenSource) -> Arc<Hub> {
        let mut hubs = lock(&self.0);
        hubs.retain(|_, hub| hub.strong_count() > 0);
        if let Some(hub) = hubs.get(&identity).and_then(Weak::upgrade) {
            return hub;
        }
        let hub = Arc::new(Hub {
            schema: schema.clone(),
            open: Arc::clone(open),
            fetch: Mutex::default(),
            cache: Mutex::default(),
            grown: Condvar::new(),
        });
        hubs.insert(identity, Arc::downgrade(&hub));
        hub
    }
}

/// What the queries of a source have together. `fetch` is locked before `cache`, never the other way round.
struct Hub {
    schema: SchemaRef,
    open: OpenSource,
    fetch: Mutex<Fetch>,
    cache: Mutex<Cache>,
    grown: Condvar,
}

/// The source, and the columns that it decodes: all that were ever wanted, for a source that is opened anew costs more than
/// a column that nobody wants any more.
#[derive(Default)]
struct Fetch {
    source: Option<Box<dyn Source>>,
    reading: ReadSpec,
    /// Whether nothing was read of the source yet, so that it may still be told which rows are needed.
    is_new: bool,
}

impl Hub {
    /// The source; opened where there is none, or none that decodes `wanted`.
    fn source<'a>(&self, fetch: &'a mut Fetch, wanted: &[PlSmallStr]) -> Result<&'a mut dyn Source, SourceError> {
        let columns = &mut fetch.reading.columns;
        if !wanted.iter().all(|name| columns.contains(name)) {
            columns.extend(wanted.iter().cloned());
            fetch.source = None;
        }
        let source = match fetch.source.take() {
            Some(source) => source,
            None => {
                let columns = self.schema.iter_names().filter(|name| fetch.reading.columns.contains(*name)).cloned();
                (fetch.reading.filter, fetch.is_new) = (None, true);
                (self.open)(&columns.collect::<Vec<_>>())?
            }
        };
        Ok(fetch.source.insert(source).as_mut())
    }

    /// Fetches what lies behind the head, if `from` is there still. Says whether any came.
    fn fetch(
        &self,
        fetch: &mut Fetch,
        from: &Offsets,
        wanted: &[PlSmallStr],
        max_rows: usize,
        wait: Duration,
    ) -> Result<bool, SourceError> {
        let (head, filter) = {
            let cache = lock(&self.cache);
            (cache.head(), cache.common_filter())
        };
        if head != *from {
            // Another query fetched meanwhile.
            return Ok(true);
        }
        if fetch.reading.filter.is_some() && fetch.reading.filter != filter {
            // Somebody came who needs other rows.
            fetch.source = None;
        }
        self.source(fetch, wanted)?;
        if std::mem::take(&mut fetch.is_new)
            && let (Some(source), Some(filter)) = (&mut fetch.source, filter)
        {
            source.filter(&filter);
            fetch.reading.filter = Some(filter);
        }
        let source = self.source(fetch, wanted)?;
        let fetched = source.available(&head, max_rows.min(AT_ONCE), wait).and_then(|to| match to == head {
            true => Ok(None),
            false => Ok(Some((source.read(&head, &to)?, to))),
        });
        match fetched {
            Ok(None) => Ok(false),
            Ok(Some((batch, to))) => {
                lock(&self.cache).push(&head, &to, batch, &fetch.reading);
                self.grown.notify_all();
                Ok(true)
            }
            Err(error) => {
                // It may be broken; who tries again opens it anew.
                fetch.source = None;
                Err(error)
            }
        }
    }
}

/// A query's own view of a source that is shared.
struct SharedSource {
    hub: Arc<Hub>,
    reader: u64,
    columns: Vec<PlSmallStr>,
    filter: Option<RowFilter>,
    schema: SchemaRef,
    /// The source of its own, while it lags behind.
    own: Option<Box<dyn Source>>,
    discovery_interval: Duration,
    start_moves: bool,
}

impl SharedSource {
    fn open(hub: Arc<Hub>, columns: &[PlSmallStr]) -> Result<SharedSource, SourceError> {
        let mut fetch = lock(&hub.fetch);
        let source = hub.source(&mut fetch, columns)?;
        let (given, discovery_interval, start_moves) =
            (source.schema(), source.discovery_interval(), source.start_moves());
        drop(fetch);
        let schema = Arc::new(given.iter_fields().filter(|field| columns.contains(field.name())).collect());
        let reader = lock(&hub.cache).join();
        let (columns, filter, own) = (columns.to_vec(), None, None);
        Ok(SharedSource { hub, reader, columns, filter, schema, own, discovery_interval, start_moves })
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { columns: &self.columns, filter: self.filter.as_ref() }
    }

    fn own(&mut self) -> Result<&mut dyn Source, SourceError> {
        let own = match self.own.take() {
            Some(own) => own,
            None => {
                let mut own = (self.hub.open)(&self.columns)?;
                if let Some(filter) = &self.filter {
                    own.filter(filter);
                }
                own
            }
        };
        Ok(self.own.insert(own).as_mut())
    }

    /// Reads on by a source of its own, up to where it can go on with the others.
    fn alone(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError> {
        let reached = self.own()?.available(from, max_rows, wait)?;
        Ok(lock(&self.hub.cache).approach(self.reader, from, reached))
    }

    fn with_shared<T>(&self, ask: impl FnOnce(&mut dyn Source) -> Result<T, SourceError>) -> Result<T, SourceError> {
        let mut fetch = lock(&self.hub.fetch);
        let asked = ask(self.hub.source(&mut fetch, &self.columns)?);
        if asked.is_err() {
            fetch.source = None;
        }
        asked
    }
}

impl Source for SharedSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        self.with_shared(|source| source.start())
    }

    fn start_moves(&self) -> bool {
        self.start_moves
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        self.with_shared(|source| source.latest())
    }

    fn resume(&mut self, reached: &Offsets) -> Result<Resumed, SourceError> {
        self.with_shared(|source| source.resume(reached))
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, wait: Duration) -> Result<Offsets, SourceError> {
        // How long a call may block is no stream's time: the engine's clock does not decide it.
        let deadline = Instant::now() + wait;
        loop {
            let place = lock(&self.hub.cache).place(self.reader, from, self.wanted(), max_rows);
            match place {
                CachePlace::Within(to) => return Ok(to),
                CachePlace::Apart => return self.alone(from, max_rows, wait),
                // The way there is not needed any more, whether or not anything comes.
                CachePlace::AtHead => self.own = None,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let hub = Arc::clone(&self.hub);
            match hub.fetch.try_lock() {
                Ok(mut fetch) => {
                    if !hub.fetch(&mut fetch, from, &self.columns, max_rows, left)? {
                        return Ok(from.clone());
                    }
                }
                Err(TryLockError::Poisoned(_)) => return self.alone(from, max_rows, left),
                Err(TryLockError::WouldBlock) => {
                    let at_head = |cache: &mut Cache| cache.head() == *from;
                    let waited = hub.grown.wait_timeout_while(lock(&hub.cache), left, at_head);
                    let timed_out = waited.map_or(true, |(_, result)| result.timed_out());
                    if timed_out {
                        return Ok(from.clone());
                    }
                }
            }
        }
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let shared = lock(&self.hub.cache).read(from, to, self.wanted()).map_err(|error| SourceError {
            fact: "what was read for several queries cannot be put together".to_owned(),
            detail: error.to_string(),
            hint: "Make the frame anew.".to_owned(),
            retry: false,
        })?;
        if let Some(batch) = shared {
            // The head is reached, so the way there is not needed any more.
            self.own = None;
            return Ok(batch);
        }
        self.own()?.read(from, to)
    }

    fn filter(&mut self, filter: &RowFilter) {
        lock(&self.hub.cache).filter(self.reader, filter);
        self.filter = Some(filter.clone());
    }

    fn discovery_interval(&self) -> Duration {
        self.discovery_interval
    }

    fn failing(&self) -> Option<String> {
        if let Some(own) = &self.own {
            return own.failing();
        }
        // Who fetches right now knows; the next batch asks again.
        self.hub.fetch.try_lock().ok()?.source.as_ref()?.failing()
    }

    fn readers(&self) -> usize {
        if self.own.is_some() { 1 } else { lock(&self.hub.cache).readers() }
    }

    fn notices(&self) -> Vec<String> {
        let own = self.own.as_ref().map(|own| own.notices());
        // While another query fetches, what there is to be told is told with a later batch.
        let shared = || self.hub.fetch.try_lock().ok()?.source.as_ref().map(|source| source.notices());
        own.or_else(shared).unwrap_or_default()
    }
}

impl Drop for SharedSource {
    fn drop(&mut self) {
        lock(&self.hub.cache).leave(self.reader);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
