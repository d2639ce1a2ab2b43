//! Takes typed fields out of a TOML table, and records every fault instead of stopping at the first.
//!
//! Each `take` method marks its key as known; [`Fields::finish`] then reports the keys nobody asked for. A field with
//! a fault reads as absent, so that the fields after it are still checked.
//!
//! Every file may say by `schema` which rules it was written for. A file for newer ones is refused whole, before anything else in it is
//! judged.
//!
//! Not here: which fields there are, their defaults and their rules (`instance`, `api`).

use core::cell::RefCell;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Remedy, nearest, shown};
use super::name::Name;
use super::reference::{Entity, Reference};
use super::timestamp::Timestamp;
use crate::limits::Allowed;

/// The schema of the files of this release: which keys there are and what they mean. A file without `schema` has the first one.
///
/// It is raised when a file that an older release would take without a fault means something else.
const SCHEMA: i64 = 1;

/// One parsed TOML file and the faults found in it so far.
pub(crate) struct Document<'t> {
    file: &'t str,
    text: &'t str,
    root: Spanned<DeTable<'t>>,
    faults: RefCell<Vec<Fault>>,
}

impl<'t> Document<'t> {
    /// Parses `text`. A syntax error is the file's only fault: what follows it cannot be trusted to mean anything.
    pub(crate) fn parse(file: &'t str, text: &'t str) -> Result<Self, Vec<Fault>> {
        match DeTable::parse(text) {
            Ok(mut root) => {
                // A table is none: named values may have any name.
                let is_named = root.get_ref().get("schema").is_some_and(|given| !given.get_ref().is_table());
                let schema = is_named.then(|| root.get_mut().remove("schema")).flatten();
                let document = Self { file, text, root, faults: RefCell::new(Vec::new()) };
                document.judge_schema(schema)
            }
            Err(error) => {
                let line = error.span().map(|span| line_at(text, span.start));
                let matter = format!("not toml ({})", error.message());
                Err(vec![Fault::of_file(
                    file,
                    line,
                    &matter,
                    "correct the syntax; until then nothing else in the file is checked",
                )])
            }
        }
    }

    /// The document, unless its schema is another one than [`SCHEMA`]. That is the file's only fault then.
    fn judge_schema(self, schema: Option<Spanned<DeValue<'t>>>) -> Result<Self, Vec<Fault>> {
        let Some(schema) = schema else { return Ok(self) };
        let given = schema.get_ref().as_integer();
        let number = given.and_then(|given| i64::from_str_radix(given.as_str(), given.radix()).ok());
        let remedy = match number {
            Some(SCHEMA) => return Ok(self),
            Some(newer) if newer > SCHEMA => Remedy::act(format!(
                "the file was written for a newer ringgate, and this one knows schema {SCHEMA}: install the newer one, or go back to \
                 the file as it was before; nothing else in it is checked"
            )),
            Some(_) | None => Remedy::from(SCHEMA.to_string()),
        };
        self.fields().fault("schema", &schema, remedy);
        Err(self.faults.into_inner())
    }

    /// The fields of the file's outermost table.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields {
            document: self,
            table: self.root.get_ref(),
            prefix: String::new(),
            line: None,
            known: Vec::new(),
        }
    }

    /// Adds a fault.
    pub(crate) fn record(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// `value` if the file is without fault, or all its faults in the order of their lines.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Fault>> {
        let mut faults = self.faults.into_inner();
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            Some(_) | None => {
                debug_assert!(!faults.is_empty(), "a field is absent although no fault says so");
                faults.sort_by_key(|fault| fault.line);
                Err(faults)
            }
        }
    }
}

/// The fields of one table.
pub(crate) struct Fields<'d> {
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    /// Dotted path of this table with its final dot, or empty.
    prefix: String,
    /// Line of the table's header; `None` for the outermost one.
    line: Option<usize>,
    known: Vec<&'static str>,
}

impl<'d> Fields<'d> {
    /// A whole number within `allowed`.
    pub(crate) fn take_integer(&mut self, key: &'static str, allowed: &Allowed) -> Option<u64> {
        let given = self.given(key)?;
        let range = range_text(allowed);
        let Some(integer) = given.get_ref().as_integer() else {
            self.fault(key, given, format!("a whole number without quotes, {range}"));
            return None;
        };
        let value = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let value =
            value.and_then(|value| u64::try_from(value).ok()).filter(|value| allowed.contains(*value));
        if value.is_none() {
            self.fault(key, given, range);
        }
        value
    }

    /// A number that `parse` accepts, in decimal notation with or without decimals.
    pub(crate) fn take_decimal<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let given = self.given(key)?;
        let of_integer = given.get_ref().as_integer().filter(|integer| integer.radix() == 10);
        let of_float = given.get_ref().as_float();
        let text =
            of_integer.map(|integer| integer.as_str()).or_else(|| of_float.map(|float| float.as_str()));
        let value = text.and_then(parse);
        if value.is_none() {
            self.fault(key, given, allowed);
        }
        value
    }

    /// `true` or `false`.
    pub(crate) fn take_boolean(&mut self, key: &'static str) -> Option<bool> {
        let given = self.given(key)?;
        let value = given.get_ref().as_bool();
        if value.is_none() {
            self.fault(key, given, "true or false");
        }
        value
    }

    /// Text that `parse` accepts. Its error says what is allowed.
    pub(crate) fn take_text<T, R: Into<Remedy>>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, R>,
    ) -> Option<T> {
        let given = self.given(key)?;
        self.parse_text(key, given, parse)
    }

    /// As [`Fields::take_text`], and the key must be there; `allowed` is what its absence is answered with.
    pub(crate) fn take_required_text<T, R: Into<Remedy>>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, R>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.known.push(key);
            self.missing(key, allowed);
            return None;
        }
        self.take_text(key, parse)
    }

    /// As [`Fields::take_text`], and what was given is shown in no fault.
    pub(crate) fn take_secret_text<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.given(key)?;
        let parsed = match given.get_ref().as_str() {
            Some(text) => parse(text),
            None => Err("text in quotes".to_owned()),
        };
        parsed.map_err(|allowed| self.fault_of(key, given, Fault::MASKED.to_owned(), allowed)).ok()
    }

    /// As [`Fields::take_secret_text`], and the key must be there.
    pub(crate) fn take_required_secret_text<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.require(key, allowed);
        self.take_secret_text(key, parse)
    }

    /// A moment, as TOML writes it.
    pub(crate) fn take_moment(&mut self, key: &'static str) -> Option<Timestamp> {
        let given = self.given(key)?;
        let moment = given.get_ref().as_datetime().and_then(Timestamp::from_toml);
        if moment.is_none() {
            self.fault(key, given, Timestamp::ALLOWED);
        }
        moment
    }

    /// Returns references to the entities that the text at `key`, or each text in a list there, names. Texts that are not
    /// names are left to the caller that takes the key.
    pub(crate) fn references(&self, key: &str, to: Entity) -> Vec<Reference> {
        let Some(given) = self.table.get(key) else { return Vec::new() };
        let reference = |key: String, given: &Spanned<DeValue<'_>>| {
            let text = given.get_ref().as_str()?;
            let name = Name::parse(text).ok()?;
            let line = Some(self.line_of(given.span().start));
            Some(Reference { to, name, line, key, given: text.to_owned() })
        };
        match given.get_ref().as_array() {
            Some(array) => array
                .iter()
                .enumerate()
                .filter_map(|(index, given)| reference(format!("{key}[{index}]"), given))
                .collect(),
            None => reference(key.to_owned(), given).into_iter().collect(),
        }
    }

    /// A list of `least` to `most` different texts that `parse` accepts. Each element has its own fault.
    pub(crate) fn take_texts<T: PartialEq, R: Into<Remedy>>(
        &mut self,
        key: &'static str,
        (least, most): (usize, usize),
        parse: impl Fn(&str) -> Result<T, R>,
    ) -> Option<Vec<T>> {
        let given = self.given(key)?;
        let Some(array) = given.get_ref().as_array().filter(|array| (least..=most).contains(&array.len()))
        else {
            self.fault(
                key,
                given,
                format!("a list of {least} to {most} texts in brackets, like [\"one\", \"two\"]"),
            );
            return None;
        };
        let mut values = Vec::with_capacity(array.len());
        for (index, element) in array.iter().enumerate() {
            let key = format!("{key}[{index}]");
            match self.parse_text(&key, element, &parse) {
                Some(value) if values.contains(&value) => {
                    self.fault(
                        &key,
                        element,
                        Remedy::act("it stands in the list already; remove one of the two"),
                    );
                }
                Some(value) => values.push(value),
                None => {}
            }
        }
        Some(values)
    }

    /// The header of the table at `key`, as TOML has it: without the indices of the lists on the way, because a header continues the
    /// last element of each (TOML 1.0, Array of Tables).
    fn header(&self, key: &str) -> String {
        let names = self.prefix.split('.').chain([key]).filter(|name| !name.is_empty());
        names.map(|name| name.split('[').next().unwrap_or(name)).collect::<Vec<_>>().join(".")
    }

    /// The fields of the table at `key`.
    pub(crate) fn take_table(&mut self, key: &'static str) -> Option<Fields<'d>> {
        let given = self.given(key)?;
        let inner = self.inner(key, given);
        if inner.is_none() {
            self.fault(key, given, format!("a table, written [{}]", self.header(key)));
        }
        inner
    }

    /// The fields of each of the `least` to `most` tables in the list at `key`.
    pub(crate) fn take_tables(
        &mut self,
        key: &'static str,
        (least, most): (usize, usize),
    ) -> Option<Vec<Fields<'d>>> {
        let given = self.given(key)?;
        let Some(array) = given.get_ref().as_array().filter(|array| (least..=most).contains(&array.len()))
        else {
            self.fault(
                key,
                given,
                format!("{least} to {most} tables, each written [[{}]]", self.header(key)),
            );
            return None;
        };
        let mut tables = Vec::with_capacity(array.len());
        for (index, element) in array.iter().enumerate() {
            let key = format!("{key}[{index}]");
            match self.inner(&key, element) {
                Some(inner) => tables.push(inner),
                None => self.fault(&key, element, "a table in braces, like { key = \"value\" }"),
            }
        }
        Some(tables)
    }

    /// The names and fields of all the tables here, whatever they are called: nothing but tables may be here, with names
    /// that `is_name` takes.
    pub(crate) fn take_every_table(
        self,
        allowed: &str,
        is_name: impl Fn(&str) -> bool,
    ) -> Vec<(&'d str, Fields<'d>)> {
        let mut tables = Vec::new();
        for (key, given) in self.table {
            let name = key.get_ref().as_ref();
            if !is_name(name) {
                let matter = format!("{} cannot be a name here", shown(&format!("\"{name}\"")));
                self.record(Fault::of_file(
                    self.document.file,
                    Some(self.line_of(key.span().start)),
                    &matter,
                    allowed,
                ));
            } else if let Some(inner) = self.inner(name, given) {
                tables.push((name, inner));
            } else {
                // What was given may be a secret in the wrong shape.
                let act = format!("a named value is a table: write [{name}], and value = \"…\" in it");
                self.fault_of(name, given, Fault::MASKED.to_owned(), Remedy::act(act));
            }
        }
        tables
    }

    /// Records that `key`, which something else takes, must be there.
    pub(crate) fn require(&self, key: &str, allowed: &str) {
        if !self.has(key) {
            self.missing(key, allowed);
        }
    }

    /// Whether anything stands at `key`, at fault or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The line of what stands at `key`.
    pub(crate) fn line_of_key(&self, key: &str) -> Option<usize> {
        self.table.get(key).map(|given| self.line_of(given.span().start))
    }

    /// Records that `key`, which was taken, cannot stand beside the others. Does nothing if it is not there.
    pub(crate) fn object(&self, key: &'static str, allowed: impl Into<Remedy>) {
        if let Some(given) = self.table.get(key) {
            self.fault(key, given, allowed);
        }
    }

    /// As [`Fields::object`], and what was given is not shown.
    pub(crate) fn object_masked(&self, key: &'static str, allowed: impl Into<Remedy>) {
        if let Some(given) = self.table.get(key) {
            self.fault_of(key, given, Fault::MASKED.to_owned(), allowed);
        }
    }

    /// Reports the keys that no `take` asked for.
    pub(crate) fn finish(self) {
        for key in self.table.keys() {
            if self.known.contains(&key.get_ref().as_ref()) {
                continue;
            }
            let near = nearest(&self.known, key.get_ref());
            let suggestion = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
            let known = format!("{suggestion}the keys here are {}", self.known.join(", "));
            self.record(Fault {
                file: self.document.file.to_owned(),
                line: Some(self.line_of(key.span().start)),
                column: None,
                key: format!("{}{}", self.prefix, shown(key.get_ref())),
                value: Fault::UNKNOWN.to_owned(),
                remedy: Remedy::act(known),
            });
        }
    }

    fn given(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.table.get(key)
    }

    fn parse_text<T, R: Into<Remedy>>(
        &self,
        key: &str,
        given: &Spanned<DeValue<'_>>,
        parse: impl FnOnce(&str) -> Result<T, R>,
    ) -> Option<T> {
        let parsed = match given.get_ref().as_str() {
            Some(text) => parse(text).map_err(Into::into),
            None => Err(Remedy::from("text in quotes")),
        };
        parsed.map_err(|remedy| self.fault(key, given, remedy)).ok()
    }

    fn inner(&self, key: &str, given: &'d Spanned<DeValue<'d>>) -> Option<Fields<'d>> {
        Some(Fields {
            document: self.document,
            table: given.get_ref().as_table()?,
            prefix: format!("{}{key}.", self.prefix),
            line: Some(self.line_of(given.span().start)),
            known: Vec::new(),
        })
    }

    fn missing(&self, key: &str, allowed: &str) {
        self.record(Fault {
            file: self.document.file.to_owned(),
            line: self.line,
            column: None,
            key: format!("{}{key}", self.prefix),
            value: Fault::MISSING.to_owned(),
            remedy: allowed.into(),
        });
    }

    fn fault(&self, key: &str, given: &Spanned<DeValue<'_>>, remedy: impl Into<Remedy>) {
        let value = if given.get_ref().is_table() {
            "a table".to_owned()
        } else {
            shown(self.document.text.get(given.span()).unwrap_or_default())
        };
        self.fault_of(key, given, value, remedy);
    }

    /// A fault at `given` that shows `value` in its place.
    fn fault_of<T>(&self, key: &str, given: &Spanned<T>, value: String, remedy: impl Into<Remedy>) {
        self.record(Fault {
            file: self.document.file.to_owned(),
            line: Some(self.line_of(given.span().start)),
            column: None,
            key: format!("{}{key}", self.prefix),
            value,
            remedy: remedy.into(),
        });
    }

    fn line_of(&self, offset: usize) -> usize {
        line_at(self.document.text, offset)
    }

    fn record(&self, fault: Fault) {
        self.document.record(fault);
    }
}

/// The line, from 1, in which the byte at `offset` stands.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn range_text(allowed: &Allowed) -> String {
    format!("{} to {} {}", allowed.least, allowed.most, allowed.unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: Allowed = Allowed { least: 1, most: 60, unit: "seconds" };

    fn faults_of(text: &str, take: impl FnOnce(&mut Fields<'_>)) -> Vec<String> {
        let document = Document::parse("a.toml", text).unwrap_or_else(|faults| panic!("{faults:?}"));
        let mut fields = document.fields();
        take(&mut fields);
        fields.finish();
        match document.finish(Some(())) {
            Ok(()) => Vec::new(),
            Err(faults) => faults.iter().map(Fault::to_string).collect(),
        }
    }

    #[test]
    fn a_syntax_error_is_one_fault_with_its_line() {
        let faults = Document::parse("a.toml", "x = 1\n\ny = = 2\nz = [\n").map(|_| ()).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!((faults[0].line, faults[0].key.as_str()), (Some(3), ""));
    }

    #[test]
    fn a_key_given_twice_is_a_fault_with_the_line_of_the_second() {
        let faults = Document::parse("a.toml", "x = 1\nx = 2\n").map(|_| ()).unwrap_err();
        assert_eq!(faults[0].line, Some(2));
    }

    #[test]
    fn takes_files_of_its_own_schema_and_those_that_name_none() {
        for text in ["n = 1", "schema = 1\nn = 1", "n = 1\nschema = 0x1"] {
            let mut taken = None;
            let faults = faults_of(text, |fields| taken = fields.take_integer("n", &SECONDS));
            assert_eq!((taken, faults), (Some(1), vec![]), "{text}");
        }
        // The tables of a file whose keys are names: `schema` is none of them.
        let document =
            Document::parse("a.toml", "schema = 1\n[a]\n").unwrap_or_else(|faults| panic!("{faults:?}"));
        let names = |document: &Document<'_>| -> Vec<String> {
            let tables = document.fields().take_every_table("a name", |_| true);
            tables.into_iter().map(|(name, _)| name.to_owned()).collect()
        };
        assert_eq!(names(&document), ["a"]);
        let document = Document::parse("a.toml", "[schema]\n").unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(names(&document), ["schema"]);
    }

    #[test]
    fn refuses_a_newer_schema_by_name_and_judges_nothing_else_in_the_file() {
        for newer in ["2", "9223372036854775807"] {
            let text = format!("n = \"wrong\"\nschema = {newer}\nunheard_of = 1\n");
            let faults = Document::parse("a.toml", &text).map(|_| ()).unwrap_err();
            let told: Vec<_> = faults.iter().map(Fault::to_string).collect();
            assert_eq!(
                told,
                [format!(
                    "a.toml:2: schema = {newer}; the file was written for a newer ringgate, and this one knows schema 1: install the \
                     newer one, or go back to the file as it was before; nothing else in it is checked"
                )]
            );
        }
        for wrong in ["0", "-1", "1.0", "\"1\"", "true", "[1]", "99999999999999999999"] {
            let faults = Document::parse("a.toml", &format!("schema = {wrong}")).map(|_| ()).unwrap_err();
            let told: Vec<_> = faults.iter().map(Fault::to_string).collect();
            assert_eq!(told, [format!("a.toml:1: schema = {wrong}: allowed is 1")]);
        }
    }

    #[test]
    fn takes_whole_numbers_in_any_notation_and_refuses_the_rest() {
        for (given, value) in [("1", 1), ("60", 60), ("+7", 7), ("1_0", 10), ("0x3c", 60), ("0b1", 1)] {
            let text = format!("n = {given}");
            let mut taken = None;
            let faults = faults_of(&text, |fields| taken = fields.take_integer("n", &SECONDS));
            assert_eq!((taken, faults), (Some(value), vec![]), "{given}");
        }
        for given in ["0", "61", "-1", "9223372036854775807", "99999999999999999999", "0x3d"] {
            let faults = faults_of(&format!("\nn = {given}"), |fields| {
                fields.take_integer("n", &SECONDS);
            });
            assert_eq!(faults, [format!("a.toml:2: n = {given}: allowed is 1 to 60 seconds")]);
        }
        for given in ["1.0", "\"1\"", "true", "[1]", "1979-05-27", "nan"] {
            let faults = faults_of(&format!("n = {given}"), |fields| {
                fields.take_integer("n", &SECONDS);
            });
            assert_eq!(
                faults,
                [format!("a.toml:1: n = {given}: allowed is a whole number without quotes, 1 to 60 seconds")]
            );
        }
    }

    #[test]
    fn names_the_line_and_path_of_a_key_nobody_asked_for_but_not_its_value() {
        let faults =
            faults_of("n = 1\nsecrt = \"s3cret\"\n\n[t]\nx = 1\ny = 2\n[other]\nz = 3\n", |fields| {
                fields.take_integer("n", &SECONDS);
                let mut inner = fields.take_table("t").expect("t is a table");
                inner.take_integer("x", &SECONDS);
                inner.finish();
            });
        assert_eq!(
            faults,
            [
                "a.toml:2: secrt is not known; the keys here are n, t",
                "a.toml:6: t.y is not known; did you mean x? the keys here are x",
                "a.toml:7: other is not known; the keys here are n, t",
            ]
        );
    }

    #[test]
    fn records_every_fault_in_the_order_of_lines() {
        let faults = faults_of("a = 0\nb = 1\nc = [\"x\", 3, \"x\"]\n[[t]]\n", |fields| {
            fields.take_texts("c", (1, 3), |text| Ok::<_, String>(text.to_owned()));
            fields.take_boolean("b");
            fields.take_required_text("d", "a text", |text| Ok::<_, String>(text.to_owned()));
            fields.take_integer("a", &SECONDS);
            for mut table in fields.take_tables("t", (1, 1)).expect("t is a list of tables") {
                table.take_required_text("e", "a text", |text| Ok::<_, String>(text.to_owned()));
                table.finish();
            }
        });
        assert_eq!(
            faults,
            [
                "a.toml: d is missing; set it to a text",
                "a.toml:1: a = 0: allowed is 1 to 60 seconds",
                "a.toml:2: b = 1: allowed is true or false",
                "a.toml:3: c[1] = 3: allowed is text in quotes",
                "a.toml:3: c[2] = \"x\"; it stands in the list already; remove one of the two",
                "a.toml:4: t[0].e is missing; set it to a text",
            ]
        );
    }

    #[test]
    fn bounds_lists_and_wants_tables_where_tables_belong() {
        let take = |fields: &mut Fields<'_>| {
            fields.take_texts("c", (1, 2), |text| Ok::<_, String>(text.to_owned()));
            fields.take_tables("t", (1, 1));
            fields.take_table("u");
        };
        let allowed = "allowed is a list of 1 to 2 texts in brackets, like [\"one\", \"two\"]";
        assert_eq!(faults_of("c = []", take), [format!("a.toml:1: c = []: {allowed}")]);
        assert_eq!(
            faults_of("c = [\"a\", \"b\", \"c\"]", take),
            [format!("a.toml:1: c = [\"a\", \"b\", \"c\"]: {allowed}")]
        );
        assert_eq!(faults_of("c = \"a\"", take), [format!("a.toml:1: c = \"a\": {allowed}")]);
        assert_eq!(
            faults_of("t = [1]", take),
            ["a.toml:1: t[0] = 1: allowed is a table in braces, like { key = \"value\" }"]
        );
        assert_eq!(
            faults_of("t = []", take),
            ["a.toml:1: t = []: allowed is 1 to 1 tables, each written [[t]]"]
        );
        assert_eq!(
            faults_of("[t]", take),
            ["a.toml:1: t = a table: allowed is 1 to 1 tables, each written [[t]]"]
        );
        assert_eq!(faults_of("u = 1", take), ["a.toml:1: u = 1: allowed is a table, written [u]"]);
        assert_eq!(faults_of("[[u]]", take).len(), 1);
    }
}
