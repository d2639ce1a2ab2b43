//! The cost of storing rows of the log: CPU of the writer's thread and bytes for each row. With `--rows N --folder F` it fills a store
//! with N rows of a week, for `tests/checks/log_store`.

use ringgate::observe::tables::{ConnectionRow, GatewayRow, Json, Ticks};
use ringgate::telemetry::sink::LogRow;
use ringgate::telemetry::sinks::queue::{RowWriter as _, now};
use ringgate::telemetry::store::retention::{Retention, list};
use ringgate::telemetry::store::writer::StoreWriter;
use rustix::time::{ClockId, clock_gettime};
use std::path::PathBuf;

/// Rows of a session: one of its opening, and arrived, connected, established, closing, terminated.
const ROWS_OF_A_SESSION: u64 = 6;

/// Rows that are written at once.
const BATCH: usize = 6000;

fn session(index: u64, at: Ticks, rows: &mut Vec<LogRow>) {
    let id = format!("{:08x}-8d1b-4c57-9a40-{:012x}", index.wrapping_mul(0x9E37_79B1) as u32, index);
    let (api, subscription) = (format!("api-{}", index % 50), format!("team-{}", index % 400));
    let client = format!("192.0.{}.{}", index / 250 % 250, index % 250);
    let is_refused = index.is_multiple_of(20);
    rows.push(
        GatewayRow {
            time_generated: at,
            correlation_id: id.clone().into(),
            region: "edge-1".into(),
            category: if is_refused { "Unauthorized" } else { "Successful" }.into(),
            api_id: api.clone().into(),
            api_revision: "1".into(),
            operation_id: "onHandshake".into(),
            operation_name: "onHandshake".into(),
            product_id: "unlimited".into(),
            user_id: "somebody".into(),
            apim_subscription_id: subscription.clone().into(),
            caller_ip_address: client.clone().into(),
            method: "GET".into(),
            url: format!("wss://gateway.example/{api}/rooms/{}?token=***", index % 10_000).into(),
            client_protocol: "HTTP/1.1".into(),
            client_tls_version: "TLS1.3".into(),
            backend_method: "GET".into(),
            backend_url: format!("ws://10.0.0.7:9001/socket/rooms/{}", index % 10_000).into(),
            backend_protocol: "HTTP/1.1".into(),
            response_code: Some(if is_refused { 401 } else { 101 }),
            backend_response_code: Some(101),
            request_size: Some(612),
            response_size: Some(201),
            total_time: Some((index % 40) as i64),
            backend_time: Some((index % 30) as i64),
            client_time: Some(3),
            cache: "none".into(),
            is_request_success: Some(!is_refused),
            client_ip_address: client.clone().into(),
            listener: "0.0.0.0:443".into(),
            sni: "gateway.example".into(),
            cause: if is_refused { "key" } else { "" }.into(),
            phase: "relay".into(),
            tls_time_us: Some(1800),
            head_time_us: Some(200),
            policy_time_us: Some(90),
            dial_time_us: Some(700),
            backend_time_us: Some((index % 30_000) as i64),
            total_time_us: Some((index % 40_000) as i64),
            worker: Some((index % 4) as i32),
            backend_address: "10.0.0.7:9001".into(),
            ..GatewayRow::default()
        }
        .into(),
    );
    for (step, event) in
        ["arrived", "backendConnected", "established", "closing", "terminated"].into_iter().enumerate()
    {
        let is_end = event == "terminated";
        let total = |value: u64| is_end.then_some(value as i64);
        rows.push(
            ConnectionRow {
                time_generated: Ticks(at.0 + step as i64 * Ticks::PER_SECOND),
                correlation_id: id.clone().into(),
                event_name: event.into(),
                source: "client".into(),
                destination: "gateway".into(),
                region: "edge-1".into(),
                api_id: api.clone().into(),
                api_revision: "1".into(),
                product_id: "unlimited".into(),
                apim_subscription_id: subscription.clone().into(),
                client_ip_address: client.clone().into(),
                backend_address: "10.0.0.7:9001".into(),
                cause: if is_end { "closed" } else { "" }.into(),
                phase: if is_end { "relay" } else { "" }.into(),
                ended_by: if step > 2 { "client" } else { "" }.into(),
                client_close_code: (step > 2).then_some(1000),
                duration_ms: total(index % 100_000),
                messages_from_client: total(index % 1000),
                messages_from_backend: total(index % 3000),
                bytes_from_client: total(index % 100_000),
                bytes_from_backend: total(index % 300_000),
                frames_from_client: Json(is_end.then(|| "{\"text\":12,\"close\":1}".to_owned())),
                frames_from_backend: Json(is_end.then(|| "{\"text\":30,\"close\":1}".to_owned())),
                worker: Some((index % 4) as i32),
                ..ConnectionRow::default()
            }
            .into(),
        );
    }
}

fn thread_time_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let value = |name: &str| arguments.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1].clone());
    let count: u64 = value("--rows").map_or(600_000, |rows| rows.parse().expect("--rows: a number"));
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = value("--folder").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let retention = Retention { days: 7, bytes_max: 64 << 30 };
    let mut writer = StoreWriter::new(folder.clone(), retention);
    let week = 7 * 86_400 * Ticks::PER_SECOND;
    let (end, mut us, mut rows) = (now(), 0.0, Vec::with_capacity(BATCH));
    let sessions = count / ROWS_OF_A_SESSION;
    for index in 0..sessions {
        let at = Ticks(end.0 - week + (week as i128 * index as i128 / sessions as i128) as i64);
        session(index, at, &mut rows);
        if rows.len() >= BATCH || index + 1 == sessions {
            let begin = thread_time_us();
            writer.write(&rows, at).expect("rows are written");
            us += thread_time_us() - begin;
            // Finishes old segments, on another thread.
            writer.upkeep(at).expect("upkeep is done");
            rows.clear();
        }
    }
    writer.close().expect("the last rows are written");
    let files = list(&folder).expect("the store can be read");
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let rows = (sessions * ROWS_OF_A_SESSION) as f64;
    println!(
        "{rows} rows in {} segments: {:.2} us of CPU and {:.0} bytes a row, {:.0} bytes a session",
        files.len(),
        us / rows,
        bytes as f64 / rows,
        bytes as f64 / sessions as f64
    );
}
