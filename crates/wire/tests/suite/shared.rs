use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ductstream_core::{
    ChangeBatch, Envelope, Error, MessageCodec, MessageEncoder, Messages, Result, TableChunk, TableSchema, WireFormat,
};
use ductstream_testkit::batch::{BatchBuilder, table};
use ductstream_wire::{MessageMode, MessageShape, SharedMessages, WireSettings, message_codec};

/// Counts the rows that a codec encodes, and fails while told to.
struct Counting {
    codec: Arc<dyn MessageCodec>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    encoders: AtomicUsize,
    rows: AtomicUsize,
    failures: AtomicUsize,
}

struct CountingEncoder(Box<dyn MessageEncoder>, Arc<Counts>);

#[async_trait]
impl MessageCodec for Counting {
    fn format(&self) -> WireFormat {
        self.codec.format()
    }

    fn envelope(&self) -> Envelope {
        self.codec.envelope()
    }

    fn content_type(&self) -> &'static str {
        self.codec.content_type()
    }

    async fn encoder(&self, schema: &Arc<TableSchema>, topic: &str) -> Result<Box<dyn MessageEncoder>> {
        self.counts.encoders.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(CountingEncoder(self.codec.encoder(schema, topic).await?, self.counts.clone())))
    }
}

impl MessageEncoder for CountingEncoder {
    fn encode(&mut self, chunk: &TableChunk, rows: Range<usize>, out: &mut Messages) -> Result<()> {
        if self.1.failures.load(Ordering::Relaxed) > 0 {
            self.1.failures.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::data("told to"));
        }
        self.1.rows.fetch_add(rows.len(), Ordering::Relaxed);
        self.0.encode(chunk, rows, out)
    }
}

fn plain() -> Arc<dyn MessageCodec> {
    let shape = MessageShape {
        format: WireFormat::Json,
        envelope: Envelope::Flat,
        mode: MessageMode::Record,
        tombstones: true,
    };
    message_codec(shape, &WireSettings::default(), None).unwrap()
}

fn shared(users: usize) -> (SharedMessages, Arc<Counts>) {
    let counts = Arc::<Counts>::default();
    (SharedMessages::new(Arc::new(Counting { codec: plain(), counts: counts.clone() }), users), counts)
}

fn batch(lsn: u64, rows: i64, note: &str) -> ChangeBatch {
    let orders = table("public.orders", 1);
    let mut batch = BatchBuilder::new().begin(lsn, 751, 0);
    for id in 0..rows {
        batch = batch.insert(&orders, id, note);
    }
    batch.delete(&orders, 0).commit(lsn + 0x80).build()
}

/// Every message with its key, as they are read.
fn read(messages: &Messages) -> Vec<(Range<usize>, Vec<u8>, Vec<u8>)> {
    let bytes = |range: &Option<Range<usize>>| range.as_ref().map(|it| messages.get(it).to_vec()).unwrap_or_default();
    messages.spans.iter().map(|span| (span.rows.clone(), bytes(&span.key), bytes(&span.value))).collect()
}

async fn encoded(codec: &dyn MessageCodec, batch: &ChangeBatch) -> Messages {
    let mut messages = Messages::default();
    let mut encoder = codec.encoder(&batch.chunks[0].schema, "orders").await.unwrap();
    encoder.encode(&batch.chunks[0], 0..batch.len(), &mut messages).unwrap();
    messages
}

#[tokio::test]
async fn what_one_has_encoded_the_others_get_behind_what_they_have() {
    let (codec, counts) = shared(3);
    let batches = [batch(0x100, 50, "a"), batch(0x200, 30, "b")];
    let mut expected = Messages::default();
    let mut alone = plain().encoder(&batches[0].chunks[0].schema, "orders").await.unwrap();
    for batch in &batches {
        alone.encode(&batch.chunks[0], 0..batch.len(), &mut expected).unwrap();
    }
    // All hold their encoder at the same time, and one is a batch behind.
    let mut encoders = Vec::new();
    for _ in 0..3 {
        encoders.push((codec.encoder(&batches[0].chunks[0].schema, "orders").await.unwrap(), Messages::default()));
    }
    for order in [[(0, 0), (1, 0), (0, 1)], [(1, 1), (2, 0), (2, 1)]].concat() {
        let (user, batch) = (order.0, &batches[order.1]);
        let (encoder, messages) = &mut encoders[user];
        encoder.encode(&batch.chunks[0], 0..batch.len(), messages).unwrap();
    }
    for (_, messages) in &encoders {
        assert_eq!(read(messages), read(&expected));
    }
    assert_eq!((counts.rows.load(Ordering::Relaxed), counts.encoders.load(Ordering::Relaxed)), (82, 1));
}

#[tokio::test]
async fn who_lags_beyond_what_is_kept_and_who_starts_inside_a_batch_encodes_for_itself() {
    let (codec, counts) = shared(2);
    let long = "x".repeat(100_000);
    let batches: Vec<_> = (1..=20).map(|number| batch(number << 8, 10, &long)).collect();
    let _in_use = codec.encoder(&batches[0].chunks[0].schema, "orders").await.unwrap();
    for batch in &batches {
        encoded(&codec, batch).await;
    }
    for batch in &batches {
        assert_eq!(read(&encoded(&codec, batch).await), read(&encoded(&*plain(), batch).await));
    }
    let rows = counts.rows.load(Ordering::Relaxed);
    assert!(rows > 220 && rows < 440, "the oldest are not there any more, the newest are: {rows}");

    let (codec, counts) = shared(2);
    let whole = batch(0x100, 10, "a");
    let part = whole.since(whole.chunks[0].positions[4]);
    let _in_use = codec.encoder(&whole.chunks[0].schema, "orders").await.unwrap();
    encoded(&codec, &whole).await;
    assert_eq!(read(&encoded(&codec, &part).await), read(&encoded(&*plain(), &part).await));
    assert_eq!(counts.rows.load(Ordering::Relaxed), 11 + 7);
}

#[tokio::test]
async fn another_topic_or_schema_has_messages_of_its_own_and_a_failure_is_not_kept() {
    let (codec, counts) = shared(2);
    let batch = batch(0x100, 10, "a");
    let chunk = &batch.chunks[0];
    let mut encoders = Vec::new();
    for topic in ["one", "two"] {
        encoders.push(codec.encoder(&chunk.schema, topic).await.unwrap());
    }
    encoders.push(codec.encoder(&table("public.orders", 2), "one").await.unwrap());
    for encoder in &mut encoders {
        encoder.encode(chunk, 0..chunk.len(), &mut Messages::default()).unwrap();
    }
    assert_eq!((counts.rows.load(Ordering::Relaxed), counts.encoders.load(Ordering::Relaxed)), (33, 3));

    let (codec, counts) = shared(2);
    counts.failures.store(1, Ordering::Relaxed);
    let mut encoder = codec.encoder(&chunk.schema, "one").await.unwrap();
    let mut messages = Messages::default();
    assert!(encoder.encode(chunk, 0..chunk.len(), &mut messages).is_err());
    assert!(messages.spans.is_empty());
    encoder.encode(chunk, 0..chunk.len(), &mut messages).unwrap();
    assert_eq!(read(&messages), read(&encoded(&*plain(), &batch).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_that_come_at_the_same_time_wait_for_the_one_that_encodes() {
    let (codec, counts) = shared(4);
    let batches: Arc<Vec<_>> = Arc::new((1..=50).map(|number| batch(number << 8, 100, "note")).collect());
    let mut threads = Vec::new();
    for _ in 0..4 {
        let mut encoder = codec.encoder(&batches[0].chunks[0].schema, "orders").await.unwrap();
        let batches = batches.clone();
        threads.push(std::thread::spawn(move || {
            let mut messages = Messages::default();
            for batch in &*batches {
                encoder.encode(&batch.chunks[0], 0..batch.len(), &mut messages).unwrap();
            }
            read(&messages)
        }));
    }
    let read: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(read.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(counts.rows.load(Ordering::Relaxed), 50 * 101);
}
