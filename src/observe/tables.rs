//! The tables of the log: every column once, with its type and its meaning, as a row that is built in Rust.
//!
//! Names and types are those of APIM's resource logs ([`GatewayRow`], [`ConnectionRow`]: Azure Monitor's reference of the tables
//! `ApiManagementGatewayLogs` and `ApiManagementWebSocketConnectionLogs`), so that queries written for them work; the columns
//! that APIM does not have stand behind them. The store, JSON lines, queries and exporters are made from these lists.
//!
//! Not here: who makes rows (`telemetry`), and where they are kept.

use std::borrow::Cow;
use std::sync::Arc;

/// The type of a column: a scalar type of the Kusto query language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// A point in time, in [`Ticks`].
    Datetime,
    /// Text, never null: a missing one is empty.
    String,
    /// A number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
    /// A floating-point number.
    Real,
    /// True or false.
    Bool,
    /// JSON: an array, an object, or null.
    Dynamic,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The name in queries and in JSON.
    pub name: &'static str,
    /// The type in queries.
    pub kind: ColumnType,
    /// The meaning, in sentences, with the unit.
    pub help: &'static str,
}

/// A column that has the same text in every row. It is not stored.
#[derive(Clone, Copy, Debug)]
pub struct ConstantColumn {
    /// The column. Its type is [`ColumnType::String`].
    pub column: Column,
    /// Its text.
    pub text: &'static str,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The name in queries.
    pub name: &'static str,
    /// The meaning, in sentences.
    pub help: &'static str,
    /// The stored columns, in the order in which a row visits them. The first is `TimeGenerated`.
    pub columns: &'static [Column],
}

/// What each table has beside its own columns, as every table of Azure Monitor has.
pub const CONSTANT_COLUMNS: fn(&Table) -> [ConstantColumn; 5] = |table| {
    let text =
        |name, help, text| ConstantColumn { column: Column { name, kind: ColumnType::String, help }, text };
    [
        text("TenantId", "The workspace's id in Azure; empty here.", ""),
        text("SourceSystem", "What made the row.", "ringgate"),
        text("Type", "The name of the table.", table.name),
        text("_ResourceId", "The resource's id in Azure; empty here.", ""),
        text("_SubscriptionId", "The Azure subscription's id; empty here.", ""),
    ]
};

/// A point in time in units of 100 ns since 0001-01-01 00:00 UTC, as the Kusto query language counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub i64);

impl Ticks {
    /// Ticks of one second.
    pub const PER_SECOND: i64 = 10_000_000;

    /// 1970-01-01.
    pub const UNIX_EPOCH: Self = Self(62_135_596_800 * Self::PER_SECOND);

    /// The time so many nanoseconds after 1970-01-01; parts of a tick are dropped.
    pub fn from_unix_ns(nanoseconds: u64) -> Self {
        Self(Self::UNIX_EPOCH.0 + (nanoseconds / 100) as i64)
    }

    /// Nanoseconds since 1970-01-01; 0 for any time before.
    pub fn unix_ns(self) -> u64 {
        (self.0 - Self::UNIX_EPOCH.0).max(0) as u64 * 100
    }
}

/// Text of a row: static, shared with the catalogue, or its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// It is static or the row's own.
    Own(Cow<'static, str>),
    /// It is shared with whatever it is the name of.
    Shared(Arc<str>),
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Own(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// What has memory of its own beside that of the row.
trait HeapBytes {
    fn heap_bytes(&self) -> usize;
}

impl HeapBytes for Text {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Own(Cow::Owned(text)) => text.capacity(),
            Self::Own(Cow::Borrowed(_)) | Self::Shared(_) => 0,
        }
    }
}

impl HeapBytes for Json {
    fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, String::capacity)
    }
}

macro_rules! without_heap {
    ($($cell:ty),+) => {$(
        impl HeapBytes for $cell {
            fn heap_bytes(&self) -> usize {
                0
            }
        }
    )+};
}

without_heap!(Ticks, Option<i32>, Option<i64>, Option<f64>, Option<bool>);

impl Default for Text {
    fn default() -> Self {
        Self::Own(Cow::Borrowed(""))
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Own(Cow::Borrowed(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Own(Cow::Owned(text))
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

/// JSON of a row, as its text; `None` is null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Json(pub Option<String>);

/// The value of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// There is none. Never in a column of strings.
    Null,
    /// A point in time.
    Datetime(Ticks),
    /// Text.
    Text(&'a str),
    /// A number of an int or a long column.
    Long(i64),
    /// A number of a real column.
    Real(f64),
    /// True or false.
    Bool(bool),
    /// JSON, as its text.
    Dynamic(&'a str),
}

/// A row of a table.
pub trait Row {
    /// Its table.
    const TABLE: &'static Table;

    /// Shows the value of each stored column, in the order of [`Table::columns`].
    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'static Column, Value<'a>));

    /// Bytes of memory that it takes, without texts that it shares.
    fn bytes(&self) -> usize;
}

/// A type that a field of a row may have.
trait Cell {
    const KIND: ColumnType;

    fn value(&self) -> Value<'_>;
}

macro_rules! cells {
    ($($kind:ident: $cell:ty = |$cell_name:ident| $value:expr;)+) => {$(
        impl Cell for $cell {
            const KIND: ColumnType = ColumnType::$kind;

            fn value(&self) -> Value<'_> {
                let $cell_name = self;
                $value
            }
        }
    )+};
}

cells! {
    Datetime: Ticks = |time| Value::Datetime(*time);
    String: Text = |text| Value::Text(text.as_str());
    Int: Option<i32> = |number| number.map_or(Value::Null, |number| Value::Long(number.into()));
    Long: Option<i64> = |number| number.map_or(Value::Null, Value::Long);
    Real: Option<f64> = |number| number.map_or(Value::Null, Value::Real);
    Bool: Option<bool> = |is| is.map_or(Value::Null, Value::Bool);
    Dynamic: Json = |json| json.0.as_deref().map_or(Value::Null, Value::Dynamic);
}

/// Makes a row's type and its table out of one line for each column.
macro_rules! tables {
    ($(
        $(#[doc = $table_help:literal])+
        $row:ident = $table:literal {
            $($(#[doc = $help:literal])+ $name:literal $field:ident: $cell:ty,)+
        }
    )+) => {
        /// Every table.
        pub const TABLES: &[Table] = &[$(*<$row as Row>::TABLE),+];

        $(
            $(#[doc = $table_help])+
            #[derive(Clone, Debug, Default, PartialEq)]
            pub struct $row {
                $($(#[doc = $help])+ pub $field: $cell,)+
            }

            impl Row for $row {
                const TABLE: &'static Table = &Table {
                    name: $table,
                    help: concat!($($table_help),+).trim_ascii(),
                    columns: &[$(Column {
                        name: $name,
                        kind: <$cell as Cell>::KIND,
                        help: concat!($($help),+).trim_ascii(),
                    }),+],
                };

                fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'static Column, Value<'a>)) {
                    let mut columns = Self::TABLE.columns.iter();
                    $(if let Some(column) = columns.next() {
                        visit(column, self.$field.value());
                    })+
                }

                fn bytes(&self) -> usize {
                    size_of::<Self>() $(+ self.$field.heap_bytes())+
                }
            }
        )+
    };
}

tables! {
    /// A row for each opening handshake, written when it ends: with a 101, a refusal, or in any other way.
    GatewayRow = "ApiManagementGatewayLogs" {
        /// When the connection was accepted.
        "TimeGenerated" time_generated: Ticks,
        /// The id of the opening and of the session that came of it.
        "CorrelationId" correlation_id: Text,
        /// The name of this gateway; empty if it has none.
        "Region" region: Text,
        /// Successful, Unauthorized (401, 403), Erroneous (a failure of the backend or of ringgate), or Other.
        "Category" category: Text,
        /// The name of the API; empty if none was found.
        "ApiId" api_id: Text,
        /// The revision of the API.
        "ApiRevision" api_revision: Text,
        /// onHandshake, once an API was found.
        "OperationId" operation_id: Text,
        /// onHandshake, once an API was found.
        "OperationName" operation_name: Text,
        /// The name of the product.
        "ProductId" product_id: Text,
        /// The owner of the subscription.
        "UserId" user_id: Text,
        /// The name of the subscription.
        "ApimSubscriptionId" apim_subscription_id: Text,
        /// The address of the immediate peer.
        "CallerIpAddress" caller_ip_address: Text,
        /// The method of the request.
        "Method" method: Text,
        /// The URL of the request, without values that may be secret.
        "Url" url: Text,
        /// HTTP/1.1 or HTTP/1.0.
        "ClientProtocol" client_protocol: Text,
        /// TLS1.2 or TLS1.3; empty without TLS.
        "ClientTlsVersion" client_tls_version: Text,
        /// The name of the backend entity.
        "BackendId" backend_id: Text,
        /// The method of the request to the backend; empty if there was none.
        "BackendMethod" backend_method: Text,
        /// The URL of the request to the backend, without values that may be secret.
        "BackendUrl" backend_url: Text,
        /// HTTP/1.1, if the backend was asked.
        "BackendProtocol" backend_protocol: Text,
        /// The status that the client got; null if it got none.
        "ResponseCode" response_code: Option<i32>,
        /// The status of the backend's answer; null if there was none.
        "BackendResponseCode" backend_response_code: Option<i32>,
        /// Bytes of the request.
        "RequestSize" request_size: Option<i32>,
        /// Bytes of the answer to the client.
        "ResponseSize" response_size: Option<i32>,
        /// Milliseconds from the accept to the end of the opening.
        "TotalTime" total_time: Option<i64>,
        /// Milliseconds that the backend took, from the beginning of the dial to its answer.
        "BackendTime" backend_time: Option<i64>,
        /// Milliseconds that the client took, for its TLS handshake and its request.
        "ClientTime" client_time: Option<i64>,
        /// Always 0: there is no cache.
        "CacheTime" cache_time: Option<i64>,
        /// Always none: there is no cache.
        "Cache" cache: Text,
        /// Whether the client got a 101.
        "IsRequestSuccess" is_request_success: Option<bool>,
        /// Always false.
        "IsTraceRequested" is_trace_requested: Option<bool>,
        /// Always false.
        "IsTraceAllowed" is_trace_allowed: Option<bool>,
        /// Always false.
        "IsTraceExpired" is_trace_expired: Option<bool>,
        /// Always false.
        "IsMasterTrace" is_master_trace: Option<bool>,
        /// What failed: the name of a policy, or of a part of the gateway.
        "LastErrorSource" last_error_source: Text,
        /// Why, in one word, as in `context.LastError.Reason`.
        "LastErrorReason" last_error_reason: Text,
        /// Why, in a sentence.
        "LastErrorMessage" last_error_message: Text,
        /// The section in which it failed: inbound, backend, outbound, on-error.
        "LastErrorSection" last_error_section: Text,
        /// The scope of the policy that failed.
        "LastErrorScope" last_error_scope: Text,
        /// Milliseconds from the accept to the failure.
        "LastErrorElapsed" last_error_elapsed: Option<i64>,
        /// Every failure, in order: an array of objects with source, reason, message, section, scope; elapsed on the last; of an
        /// expression that threw also exception, path, document, line and column.
        "Errors" errors: Json,
        /// What the policies said (`trace`), and expressions that threw: an array of objects with source, severity, message,
        /// metadata. 8 KiB and 64 records at most: one that was cut has truncated, the last one may say how many were dropped.
        "TraceRecords" trace_records: Json,
        /// The fields of the request that the API's diagnostics name.
        "RequestHeaders" request_headers: Json,
        /// The fields of the answer that the API's diagnostics name.
        "ResponseHeaders" response_headers: Json,
        /// The fields of the request to the backend that the API's diagnostics name.
        "BackendRequestHeaders" backend_request_headers: Json,
        /// The fields of the backend's answer that the API's diagnostics name.
        "BackendResponseHeaders" backend_response_headers: Json,
        /// The address of the client that policies and limits mean.
        "ClientIpAddress" client_ip_address: Text,
        /// The address and port of the listener.
        "Listener" listener: Text,
        /// The name that the client asked for in its TLS handshake.
        "Sni" sni: Text,
        /// The subprotocol that was agreed on.
        "Subprotocol" subprotocol: Text,
        /// The extensions that were agreed on.
        "Extensions" extensions: Text,
        /// The cause of the end, as in the list of terminations; empty after a 101.
        "Cause" cause: Text,
        /// How far the opening got: head, dial, answer, relay.
        "Phase" phase: Text,
        /// Microseconds of the TLS handshake with the client.
        "TlsTimeUs" tls_time_us: Option<i64>,
        /// Microseconds from the accept, or the end of the TLS handshake, to the whole request head.
        "HeadTimeUs" head_time_us: Option<i64>,
        /// Microseconds of routing, checks and policies before the dial.
        "PolicyTimeUs" policy_time_us: Option<i64>,
        /// Microseconds of the dial, with the look-up of the name and TLS.
        "DialTimeUs" dial_time_us: Option<i64>,
        /// Microseconds from the request to the backend to its answer.
        "BackendTimeUs" backend_time_us: Option<i64>,
        /// Microseconds from the accept to the end of the opening.
        "TotalTimeUs" total_time_us: Option<i64>,
        /// The worker whose front opened it.
        "Worker" worker: Option<i32>,
        /// The address and port of the backend that was reached.
        "BackendAddress" backend_address: Text,
        /// The trace id of W3C Trace Context (traceparent), if it was given or made.
        "TraceId" trace_id: Text,
    }

    /// A row for each event of a WebSocket connection, from its arrival to its termination.
    ConnectionRow = "ApiManagementWebSocketConnectionLogs" {
        /// When it happened.
        "TimeGenerated" time_generated: Ticks,
        /// The id of the opening and of the session that came of it.
        "CorrelationId" correlation_id: Text,
        /// arrived, backendConnected, established, progress, closing, terminated.
        "EventName" event_name: Text,
        /// The side that the event comes from: client, gateway, backend.
        "Source" source: Text,
        /// The side that it goes to: client, gateway, backend.
        "Destination" destination: Text,
        /// What went wrong; empty if nothing did.
        "Error" error: Text,
        /// The name of this gateway; empty if it has none.
        "Region" region: Text,
        /// The name of the API.
        "ApiId" api_id: Text,
        /// The revision of the API.
        "ApiRevision" api_revision: Text,
        /// The name of the product.
        "ProductId" product_id: Text,
        /// The name of the subscription.
        "ApimSubscriptionId" apim_subscription_id: Text,
        /// The address of the client.
        "ClientIpAddress" client_ip_address: Text,
        /// The address and port of the backend.
        "BackendAddress" backend_address: Text,
        /// On terminated: the cause, as in the list of terminations.
        "Cause" cause: Text,
        /// On terminated: how far it had got: head, dial, answer, relay.
        "Phase" phase: Text,
        /// On closing and terminated: who ended it: client, backend, gateway.
        "EndedBy" ended_by: Text,
        /// The code of the client's Close; null without one.
        "ClientCloseCode" client_close_code: Option<i32>,
        /// The reason in the client's Close.
        "ClientCloseReason" client_close_reason: Text,
        /// The code of the backend's Close; null without one.
        "BackendCloseCode" backend_close_code: Option<i32>,
        /// The reason in the backend's Close.
        "BackendCloseReason" backend_close_reason: Text,
        /// On progress and terminated: milliseconds since the 101; on terminated of an opening, since the accept.
        "DurationMs" duration_ms: Option<i64>,
        /// Messages that the client sent.
        "MessagesFromClient" messages_from_client: Option<i64>,
        /// Messages that the backend sent.
        "MessagesFromBackend" messages_from_backend: Option<i64>,
        /// Bytes that the client sent, heads of frames included.
        "BytesFromClient" bytes_from_client: Option<i64>,
        /// Bytes that the backend sent, heads of frames included.
        "BytesFromBackend" bytes_from_backend: Option<i64>,
        /// Frames that the client sent, by kind: an object from kind to number.
        "FramesFromClient" frames_from_client: Json,
        /// Frames that the backend sent, by kind: an object from kind to number.
        "FramesFromBackend" frames_from_backend: Json,
        /// The worker that carries or opened it.
        "Worker" worker: Option<i32>,
    }

    /// Usage by subscription and product: a row for each hour, API, product and subscription with any; several where a new segment was begun in the hour.
    UsageRow = "RinggateUsage" {
        /// The beginning of the hour.
        "TimeGenerated" time_generated: Ticks,
        /// The name of the API.
        "ApiId" api_id: Text,
        /// The name of the product.
        "ProductId" product_id: Text,
        /// The name of the subscription.
        "ApimSubscriptionId" apim_subscription_id: Text,
        /// Sessions that were opened in the hour.
        "Sessions" sessions: Option<i64>,
        /// Openings that were refused in the hour.
        "Refusals" refusals: Option<i64>,
        /// Messages that clients sent, in the hour of the session's end, or of the progress row that told of them.
        "MessagesFromClient" messages_from_client: Option<i64>,
        /// Messages that backends sent, in the hour of the session's end, or of the progress row that told of them.
        "MessagesFromBackend" messages_from_backend: Option<i64>,
        /// Bytes that clients sent, in the hour of the session's end, or of the progress row that told of them.
        "BytesFromClient" bytes_from_client: Option<i64>,
        /// Bytes that backends sent, in the hour of the session's end, or of the progress row that told of them.
        "BytesFromBackend" bytes_from_backend: Option<i64>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_table_has_its_time_first_and_no_name_twice() {
        for table in TABLES {
            assert_eq!(
                (table.columns[0].name, table.columns[0].kind),
                ("TimeGenerated", ColumnType::Datetime)
            );
            let constants = CONSTANT_COLUMNS(table).map(|constant| constant.column.name);
            let names: Vec<_> = table.columns.iter().map(|column| column.name).chain(constants).collect();
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{}", table.name);
        }
    }

    #[test]
    fn a_row_shows_each_column_in_order_with_a_value_of_its_type() {
        let row = ConnectionRow {
            time_generated: Ticks::from_unix_ns(1_800_000_000_123_456_789),
            error: "reset".into(),
            client_close_code: Some(1000),
            frames_from_client: Json(Some("{}".to_owned())),
            ..ConnectionRow::default()
        };
        let mut shown = Vec::new();
        row.visit(&mut |column, value| shown.push((column.name, value)));
        let names: Vec<_> = ConnectionRow::TABLE.columns.iter().map(|column| column.name).collect();
        assert_eq!(shown.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
        let value = |name| shown.iter().find(|(column, _)| *column == name).unwrap().1;
        assert_eq!(value("Error"), Value::Text("reset"));
        assert_eq!(value("EventName"), Value::Text(""));
        assert_eq!(value("ClientCloseCode"), Value::Long(1000));
        assert_eq!(value("BackendCloseCode"), Value::Null);
        assert_eq!(value("FramesFromClient"), Value::Dynamic("{}"));
    }

    #[test]
    fn a_row_takes_the_bytes_of_its_own_texts_and_none_of_those_that_it_shares() {
        let empty = GatewayRow::default();
        assert_eq!(empty.bytes(), size_of::<GatewayRow>());
        let row = GatewayRow {
            url: "u".repeat(1000).into(),
            errors: Json(Some("e".repeat(500))),
            region: Text::from(Arc::<str>::from("shared".repeat(100))),
            cause: "static".into(),
            ..empty
        };
        assert_eq!(row.bytes(), size_of::<GatewayRow>() + 1500);
    }

    #[test]
    fn ticks_count_from_the_year_one() {
        // As .NET's DateTime.UnixEpoch.Ticks.
        assert_eq!(Ticks::from_unix_ns(0).0, 621_355_968_000_000_000);
        assert_eq!(Ticks::from_unix_ns(1_234_567_891).unix_ns(), 1_234_567_800);
        assert_eq!(Ticks(0).unix_ns(), 0);
    }
}
