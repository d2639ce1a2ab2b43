//! A carrier at rest: the state of a carrier with nothing in flight, as plain data that can move to another process.
//!
//! ```text
//! carrier, nothing in flight ── export ──► bytes ── import ──► CarrierAtRest ── wake ──► carrier of another relay
//! ```
//!
//! The descriptor travels separately. Queued bytes are exported as bytes; received buffers stay where they are. Memory that was
//! lent to the kernel and is still read belongs to bytes that are already sent, and stays with the relay that lent it. Exporting
//! does not change the carrier: if the other process refuses it, the carrier goes on.
//!
//! The property to trust: a carrier that was exported and woken sends the same bytes in the same order as one that was not, and
//! it opens and seals the same records.
//!
//! Not here: ending what is in flight before an export, and the session (`session::life::export`).

use super::{Carrier, CarrierName, LegName, Reading, Receiving, Sending, ZeroCopy};
use crate::export::{ExportFault, ExportKind, FieldReader, FieldWriter};
use crate::relay::record_layer::{RecordLayer, Records, UseOfKeys};
use crate::ring::BufferPool;
use crate::session::Gone;
use crate::tls::record::{HeldRecord, LegRecords};
use bytes::Bytes;
use zeroize::Zeroizing;

/// Most bytes that are read as the last ones there will be: a Close frame or a close_notify, sealed or not.
const FAREWELL_BYTES_MAX: usize = 1024;

/// Most bytes that are read as the keys and numbers of a record layer.
const RECORDS_BYTES_MAX: usize = 4096;

/// A carrier on which nothing is in flight, without its socket.
#[derive(Debug)]
pub struct CarrierAtRest {
    /// Its stream ended, or broke.
    has_ended: bool,
    /// Receives since the last large frame, where only heads are received.
    since_large: Option<u8>,
    /// Nobody takes anything any more.
    is_discarding: bool,
    /// Its large sends are not tried without copying any more.
    copies: bool,
    /// How the connection broke, if it did.
    broken: Option<Gone>,
    /// The bytes that wait to be sent.
    queued: Bytes,
    /// The last bytes there will be behind that.
    farewell: Option<Bytes>,
    layer: Option<Box<RecordLayer>>,
}

impl<S> Carrier<S> {
    /// The carrier as it is. `None`: it cannot move now. An operation is in flight, bytes stand in a pipe, or the peer of its records
    /// broke a rule, so that it ends soon.
    ///
    /// It has the keys of its records: whoever carries the bytes keeps them secret.
    pub fn export(&self, pool: &BufferPool) -> Option<Zeroizing<Vec<u8>>> {
        let mut writer = FieldWriter::new(ExportKind::Carrier);
        self.export_fields(&mut writer, pool).then(|| writer.finish())
    }

    /// Says whether there is something to write.
    fn export_fields(&self, writer: &mut FieldWriter, pool: &BufferPool) -> bool {
        let Self {
            // A descriptor travels beside the bytes, and the other relay has names of its own.
            socket: _,
            name: _,
            streams: _,
            receiving,
            reading,
            sending,
            // A leg that is not read is listed and polled anew.
            watch: _,
            zero_copy,
            in_flight,
            // There are none where nothing is in flight.
            cancels: _,
            // Whoever has a backlog is listed when it is queued.
            is_listed: _,
            broken,
            pipe,
            queue,
            // Nothing holds a buffer where nothing is in flight.
            holds_since: _,
            // When it was read last counts from its arrival.
            read_at: _,
            // Turns are those of one relay.
            share: _,
            record_layer,
        } = self;
        if *in_flight > 0 || pipe.is_some() {
            return false;
        }
        writer.section("receive");
        writer.bool("has_ended", *receiving == Receiving::Over);
        let since_large = match reading {
            // Whoever is greedy shows it anew.
            Reading::Whole | Reading::Rationed { .. } => None,
            // Its socket is filled from, and waited for, anew.
            Reading::Heads { since_large, fills: _, is_awaited: _ } => Some(*since_large),
        };
        writer.option("since_large", since_large, FieldWriter::u8);
        writer.section("send");
        writer.bool("is_discarding", *sending == Sending::Over);
        writer.bool("copies", *zero_copy == ZeroCopy::SwitchedOff);
        writer.option("broken", broken.map(gone_number), FieldWriter::u8);
        let (queued, farewell) = queue.to_bytes(pool);
        writer.block("queued", &queued);
        writer.option("farewell", farewell, |writer, field, bytes| writer.block(field, bytes));
        writer.section("records");
        writer.bool("has_records", record_layer.is_some());
        record_layer.as_ref().is_none_or(|layer| layer.export_fields(writer))
    }
}

impl CarrierAtRest {
    /// Imports the bytes that [`Carrier::export`] returned.
    ///
    /// # Errors
    /// The bytes are no carrier that any version exported.
    pub fn import(bytes: &[u8]) -> Result<Self, ExportFault> {
        let mut reader = FieldReader::new(ExportKind::Carrier, bytes)?;
        let carrier = Self {
            has_ended: reader.bool("has_ended")?,
            since_large: reader.option("since_large", FieldReader::u8)?,
            is_discarding: reader.bool("is_discarding")?,
            copies: reader.bool("copies")?,
            broken: reader.option("broken", |reader, field| {
                let number = reader.u8(field)?;
                GONE.get(usize::from(number)).copied().ok_or(reader.impossible(field))
            })?,
            queued: Bytes::copy_from_slice(reader.block("queued", u32::MAX as usize)?),
            farewell: reader.option("farewell", |reader, field| {
                reader.block(field, FAREWELL_BYTES_MAX).map(Bytes::copy_from_slice)
            })?,
            layer: if reader.bool("has_records")? {
                Some(Box::new(RecordLayer::import_fields(&mut reader)?))
            } else {
                None
            },
        };
        let is_empty = carrier.queued.is_empty() && carrier.farewell.is_none();
        reader.check("queued", is_empty || !carrier.is_discarding)?;
        reader.finish()?;
        Ok(carrier)
    }

    /// The carrier, on which nothing is in flight. Whoever wakes it counts and lists what it holds, starts its send if it owes
    /// something, and its receive if that is wanted.
    pub fn wake<S>(self, name: CarrierName, leg: LegName, socket: S, pool: &mut BufferPool) -> Carrier<S> {
        let Self { has_ended, since_large, is_discarding, copies, broken, queued, farewell, layer } = self;
        let mut carrier = Carrier::new(name, leg, socket, layer);
        if has_ended {
            carrier.receiving = Receiving::Over;
        }
        if let Some(since_large) = since_large {
            carrier.reading = Reading::Heads { since_large, fills: 0, is_awaited: false };
        }
        if is_discarding {
            carrier.sending = Sending::Over;
        }
        if copies {
            carrier.zero_copy = ZeroCopy::SwitchedOff;
        }
        carrier.broken = broken;
        carrier.queue.push_heap(pool, queued);
        if let Some(farewell) = farewell {
            carrier.queue.push_farewell(farewell);
        }
        if let Some(layer) = &mut carrier.record_layer {
            layer.held_bytes = layer.held.as_ref().map_or(0, HeldRecord::heap_bytes);
            pool.add_backlog(layer.held_bytes);
        }
        carrier
    }
}

impl RecordLayer {
    /// Says whether there is something to write.
    fn export_fields(&self, writer: &mut FieldWriter) -> bool {
        let Self {
            records,
            held,
            // What the pool counts for it is counted there again.
            held_bytes: _,
            is_input_discarded,
            // Its ciphers are made again.
            use_of_keys: _,
            // It is of the turn that is under way.
            opened: _,
        } = self;
        let exported = match records {
            Records::InProcess(records) => records.export(),
            #[cfg(test)]
            Records::Faulty(_) => None,
        };
        writer.bool("is_input_discarded", *is_input_discarded);
        writer.block("layer", exported.as_ref().map_or(&[], |exported| &exported[..]));
        writer.option("has_held", held.as_ref(), |writer, _, held| held.export_fields(writer));
        exported.is_some()
    }

    fn import_fields(reader: &mut FieldReader<'_>) -> Result<Self, ExportFault> {
        let is_input_discarded = reader.bool("is_input_discarded")?;
        let records = LegRecords::import(reader.block("layer", RECORDS_BYTES_MAX)?)?;
        let suite = records.suite();
        let held = reader.option("has_held", |reader, _| HeldRecord::import_fields(reader, suite))?;
        let records = Records::InProcess(records);
        let use_of_keys = UseOfKeys::Recent;
        Ok(Self { records, held, held_bytes: 0, is_input_discarded, use_of_keys, opened: 0 })
    }
}

/// Every way in which a connection may have broken, in the order of their numbers in an export.
const GONE: [Gone; 5] = [Gone::Finished, Gone::Truncated, Gone::Reset, Gone::Dead, Gone::Stalled];

fn gone_number(how: Gone) -> u8 {
    match how {
        Gone::Finished => 0,
        Gone::Truncated => 1,
        Gone::Reset => 2,
        Gone::Dead => 3,
        Gone::Stalled => 4,
    }
}

#[cfg(test)]
mod tests;
