//! Tokens to statements and operators.
//!
//! Words of the language are words only where the grammar wants them: `project count = 1` names a column.

mod expressions;

use super::fault::{At, Checked, Fault, did_you_mean};
use super::lexer::{Placed, Token, tokens};
use super::syntax::{
    Distinct, ExpandItem, Head, JoinKey, JoinKind, Leg, Let, LetValue, Name, Named, Operator, OperatorKind,
    Pipeline, SortKey, Statements, Union,
};
use super::types::{Literal, Type};

/// Deepest nesting of parentheses, calls and tables in a query. Over it: a fault. It bounds the stack that a query takes.
const DEPTH_MAX: usize = 50;

/// The operators that a query may have.
const OPERATORS: [&str; 17] = [
    "where",
    "filter",
    "project",
    "project-away",
    "extend",
    "summarize",
    "sort",
    "order",
    "top",
    "take",
    "limit",
    "count",
    "distinct",
    "join",
    "union",
    "mv-expand",
    "render",
];

/// Operators of the language that are not supported.
const OPERATORS_ELSEWHERE: [&str; 34] = [
    "as",
    "consume",
    "evaluate",
    "externaldata",
    "facet",
    "find",
    "fork",
    "getschema",
    "graph-match",
    "invoke",
    "lookup",
    "macro-expand",
    "make-graph",
    "make-series",
    "mv-apply",
    "mvapply",
    "mvexpand",
    "parse",
    "parse-kv",
    "parse-where",
    "partition",
    "project-by-names",
    "project-keep",
    "project-rename",
    "project-reorder",
    "range",
    "reduce",
    "sample",
    "sample-distinct",
    "scan",
    "search",
    "serialize",
    "top-hitters",
    "top-nested",
];

/// Words that `let` names only in brackets, beside those of [`BRACKETS_NEEDED`].
const BRACKETS_NEEDED_IN_LET: [&str; 6] = ["in", "has", "contains", "by", "to", "where"];

/// Words that name a column only in brackets.
const BRACKETS_NEEDED: [&str; 34] = [
    "and",
    "or",
    "has_any",
    "has_all",
    "has_cs",
    "contains_cs",
    "startswith",
    "startswith_cs",
    "endswith",
    "endswith_cs",
    "hasprefix",
    "between",
    "asc",
    "desc",
    "first",
    "last",
    "missing",
    "kind",
    "time",
    "date",
    "true",
    "false",
    "like",
    "project",
    "union",
    "with_itemindex",
    "datetime",
    "timespan",
    "int",
    "long",
    "real",
    "string",
    "dynamic",
    "decimal",
];

pub(super) fn parse(text: &str) -> Checked<Statements> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let statements = parser.statements()?;
    Ok(statements)
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn placed(&self) -> &Placed {
        // The last token is the end, which is never passed.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Token {
        &self.placed().token
    }

    fn place(&self) -> At {
        self.placed().at
    }

    fn peek_behind(&self, count: usize) -> &Token {
        &self.tokens[(self.at + count).min(self.tokens.len() - 1)].token
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(next) if *next == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is_next = self.is_sign(sign);
        if is_next {
            self.next();
        }
        is_next
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(next) if next == word)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is_next = self.is_word(word);
        if is_next {
            self.next();
        }
        is_next
    }

    fn fault(&self, reason: impl Into<String>) -> Box<Fault> {
        Fault::new(self.place(), reason)
    }

    fn expect_sign(&mut self, sign: &'static str) -> Checked<()> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.fault(format!("`{sign}` is missing"))) }
    }

    fn expect_word(&mut self, word: &'static str) -> Checked<()> {
        if self.take_word(word) { Ok(()) } else { Err(self.fault(format!("`{word}` is missing"))) }
    }

    /// Goes one level down, for the time of `parse`.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Checked<T>) -> Checked<T> {
        if self.depth == DEPTH_MAX {
            return Err(self.fault(format!("a query is nested at most {DEPTH_MAX} deep")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Checked<T>) -> Checked<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take_sign(",") {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn statements(&mut self) -> Checked<Statements> {
        let mut lets = Vec::new();
        while self.take_sign(";") {}
        while self.is_word("let") {
            lets.push(self.let_statement().map_err(|fault| fault.within("let"))?);
            if *self.peek() != Token::End {
                self.expect_sign(";")?;
            }
            while self.take_sign(";") {}
        }
        if *self.peek() == Token::End {
            return Err(self.fault("there is no query").known("it begins with the name of a table"));
        }
        if self.is_sign(".") {
            return Err(self.fault("commands are not supported").known("only queries are"));
        }
        let query = self.pipeline()?;
        while self.take_sign(";") {}
        if *self.peek() != Token::End {
            return Err(self.fault("this is not understood").known("operators follow a `|`"));
        }
        Ok(Statements { lets, query })
    }

    fn let_statement(&mut self) -> Checked<Let> {
        self.next();
        let name = self.new_name_but(&BRACKETS_NEEDED_IN_LET)?;
        self.expect_sign("=")?;
        if self.is_sign("(") && self.is_function() {
            return Err(self.fault("functions are not supported").known("let names a value or a table"));
        }
        let value = if let (Token::Name(_) | Token::Bracketed(_), Token::Sign(";") | Token::End) =
            (self.peek(), self.peek_behind(1))
        {
            LetValue::Name(self.any_name()?)
        } else if self.begins_pipeline() {
            LetValue::Table(self.pipeline()?)
        } else {
            LetValue::Scalar(self.expression()?)
        };
        Ok(Let { name, value })
    }

    /// Whether parameters and a body follow.
    fn is_function(&self) -> bool {
        let mut depth = 0_usize;
        for (index, placed) in self.tokens[self.at..].iter().enumerate() {
            match placed.token {
                Token::Sign("(") => depth += 1,
                Token::Sign(")") => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return *self.peek_behind(index + 1) == Token::Sign("{");
            }
        }
        false
    }

    /// Whether a table follows rather than a value: a name and a `|`, `union`, or either in parentheses.
    fn begins_pipeline(&self) -> bool {
        let mut index = 0;
        while *self.peek_behind(index) == Token::Sign("(") {
            index += 1;
        }
        match (self.peek_behind(index), self.peek_behind(index + 1)) {
            (Token::Name(word), next) if word == "union" || word == "print" => {
                !matches!(next, Token::Sign("(") if word == "print")
            }
            (Token::Name(_) | Token::Bracketed(_), Token::Sign("|")) => true,
            // `(Table)`, but not `(a)` of `(a) + 1`.
            (Token::Name(_), Token::Sign(")")) if index > 0 => {
                let mut end = index + 1;
                while *self.peek_behind(end) == Token::Sign(")") {
                    end += 1;
                }
                matches!(self.peek_behind(end), Token::Sign("|"))
            }
            _ => false,
        }
    }

    fn any_name(&mut self) -> Checked<Name> {
        let at = self.place();
        match self.peek().clone() {
            Token::Name(text) | Token::Bracketed(text) => {
                self.next();
                Ok(Name { text, at })
            }
            _ => Err(self.fault("a name is missing")),
        }
    }

    /// A name that the query gives.
    fn new_name(&mut self) -> Checked<Name> {
        self.new_name_but(&[])
    }

    /// A name that the query gives, and that is none of these words.
    fn new_name_but(&mut self, words: &[&str]) -> Checked<Name> {
        if let Token::Name(word) = self.peek()
            && (BRACKETS_NEEDED.contains(&word.as_str()) || words.contains(&word.as_str()))
        {
            let known = format!("write it as ['{word}']");
            return Err(self.fault("this word is reserved; it can be a name only in brackets").known(known));
        }
        self.any_name()
    }

    /// A name with `*` in any place.
    fn pattern(&mut self) -> Checked<Name> {
        let at = self.place();
        let mut text = String::new();
        let mut end = at;
        while self.place() == end {
            match self.peek() {
                Token::Name(part) => text.push_str(part),
                Token::Bracketed(part) if text.is_empty() => text.push_str(part),
                Token::Sign("*") => text.push('*'),
                _ => break,
            }
            end = self.placed().end;
            self.next();
        }
        if text.is_empty() {
            return Err(self.fault("a name is missing"));
        }
        Ok(Name { text, at })
    }

    fn pipeline(&mut self) -> Checked<Pipeline> {
        self.deeper(Self::pipeline_inner)
    }

    fn pipeline_inner(&mut self) -> Checked<Pipeline> {
        let at = self.place();
        let head = if self.take_sign("(") {
            let inner = self.pipeline()?;
            self.expect_sign(")")?;
            Head::Within(Box::new(inner))
        } else if self.is_word("union") && !self.is_table_end(1) {
            self.next();
            Head::Union(self.union().map_err(|fault| fault.within("union"))?)
        } else if self.is_word("print") && !self.is_table_end(1) {
            self.next();
            Head::Print(self.list(Self::named).map_err(|fault| fault.within("print"))?)
        } else {
            let name =
                self.any_name().map_err(|fault| fault.known("a query begins with the name of a table"))?;
            if !self.is_table_end(0) {
                self.refuse_elsewhere(&name)?;
            }
            Head::Table(name)
        };
        let mut operators: Vec<Operator> = Vec::new();
        while self.take_sign("|") {
            if operators.last().is_some_and(|last| matches!(last.kind, OperatorKind::Render)) {
                return Err(self.fault("nothing follows render"));
            }
            operators.push(self.operator()?);
        }
        Ok(Pipeline { at, head, operators })
    }

    /// Whether the table of a pipeline ends behind so many tokens.
    fn is_table_end(&self, count: usize) -> bool {
        matches!(self.peek_behind(count), Token::Sign("|" | ")" | ";") | Token::End)
    }

    fn refuse_elsewhere(&self, name: &Name) -> Checked<()> {
        if OPERATORS_ELSEWHERE.contains(&name.text.as_str()) || name.text == "datatable" {
            return Err(Fault::new(name.at, format!("`{}` is not supported", name.text))
                .known("a query begins with a table, `union` or `print`"));
        }
        Ok(())
    }

    /// A word of the grammar with hyphens in it.
    fn operator_name(&mut self) -> Checked<(String, At)> {
        let at = self.place();
        let Token::Name(mut word) = self.next() else {
            let last = self.at.saturating_sub(1);
            return Err(Fault::new(self.tokens[last].at.max(at), "an operator is missing behind `|`"));
        };
        while self.is_sign("-") && self.place() == self.tokens[self.at - 1].end {
            let Token::Name(part) = self.peek_behind(1) else { break };
            word = format!("{word}-{part}");
            self.next();
            self.next();
        }
        Ok((word, at))
    }

    fn operator(&mut self) -> Checked<Operator> {
        let (word, at) = self.operator_name()?;
        let Some(name) = OPERATORS.iter().find(|known| **known == word) else {
            let fault = Fault::new(at, format!("the operator `{word}` is not supported"));
            if OPERATORS_ELSEWHERE.contains(&word.as_str()) {
                return Err(fault.known(format!("there are {}", OPERATORS.join(", "))));
            }
            let fault = Fault::new(at, "this is no operator");
            return Err(fault.known(did_you_mean(&word, OPERATORS)));
        };
        let kind = self.operator_kind(name).map_err(|fault| fault.within(name))?;
        Ok(Operator { at, name, kind })
    }

    fn operator_kind(&mut self, name: &str) -> Checked<OperatorKind> {
        Ok(match name {
            "where" | "filter" => OperatorKind::Where(self.expression()?),
            "project" => OperatorKind::Project(self.list(Self::named)?),
            "project-away" => OperatorKind::ProjectAway(self.list(Self::pattern)?),
            "extend" => OperatorKind::Extend(self.list(Self::named)?),
            "summarize" => self.summarize()?,
            "sort" | "order" => {
                self.hints()?;
                self.expect_word("by")?;
                OperatorKind::Sort(self.list(Self::sort_key)?)
            }
            "top" => {
                let rows = self.expression()?;
                self.expect_word("by")?;
                OperatorKind::Top { rows, key: self.sort_key()? }
            }
            "take" | "limit" => OperatorKind::Take(self.expression()?),
            "count" => OperatorKind::Count,
            "distinct" => {
                self.hints()?;
                let is_all = self.is_sign("*") && self.is_table_end(1);
                if is_all {
                    self.next();
                    OperatorKind::Distinct(Distinct::All)
                } else {
                    OperatorKind::Distinct(Distinct::Of(self.list(Self::named)?))
                }
            }
            "join" => self.join()?,
            "union" => OperatorKind::Union(self.union()?),
            "mv-expand" => self.expand()?,
            _ => self.render()?,
        })
    }

    /// Skips hints to a distributed service: `hint.strategy=shuffle`.
    fn hints(&mut self) -> Checked<()> {
        while self.is_word("hint") && *self.peek_behind(1) == Token::Sign(".") {
            self.next();
            self.next();
            self.any_name()?;
            self.expect_sign("=")?;
            self.next();
        }
        Ok(())
    }

    /// `name = expression`, `(a, b) = expression`, or an expression.
    fn named(&mut self) -> Checked<Named> {
        let mut names = Vec::new();
        if matches!(self.peek(), Token::Name(_) | Token::Bracketed(_))
            && *self.peek_behind(1) == Token::Sign("=")
        {
            names.push(self.new_name()?);
            self.next();
        } else if self.is_sign("(") && self.is_name_list() {
            self.next();
            names = self.list(Self::new_name)?;
            self.expect_sign(")")?;
            self.expect_sign("=")?;
        }
        Ok(Named { names, expression: self.expression()? })
    }

    fn is_name_list(&self) -> bool {
        let mut index = 1;
        loop {
            if !matches!(self.peek_behind(index), Token::Name(_) | Token::Bracketed(_)) {
                return false;
            }
            match self.peek_behind(index + 1) {
                Token::Sign(",") => index += 2,
                Token::Sign(")") => return *self.peek_behind(index + 2) == Token::Sign("="),
                _ => return false,
            }
        }
    }

    fn summarize(&mut self) -> Checked<OperatorKind> {
        self.hints()?;
        let at = self.place();
        let aggregates =
            if self.is_word("by") || self.is_table_end(0) { Vec::new() } else { self.list(Self::named)? };
        let keys = if self.take_word("by") { self.list(Self::named)? } else { Vec::new() };
        if aggregates.is_empty() && keys.is_empty() {
            return Err(
                Fault::new(at, "there is nothing to summarize").known("write it as summarize count() by X")
            );
        }
        Ok(OperatorKind::Summarize { aggregates, keys })
    }

    fn sort_key(&mut self) -> Checked<SortKey> {
        let expression = self.expression()?;
        let is_ascending = self.take_word("asc");
        if !is_ascending {
            self.take_word("desc");
        }
        let mut nulls_first = is_ascending;
        if self.take_word("nulls") {
            nulls_first = self.take_word("first");
            if !nulls_first {
                self.expect_word("last")?;
            }
        }
        Ok(SortKey { expression, is_ascending, nulls_first })
    }

    fn join(&mut self) -> Checked<OperatorKind> {
        let mut kind = JoinKind::InnerUnique;
        loop {
            self.hints()?;
            if !(self.is_word("kind") && *self.peek_behind(1) == Token::Sign("=")) {
                break;
            }
            self.next();
            self.next();
            let name = self.any_name()?;
            kind = match name.text.as_str() {
                "inner" => JoinKind::Inner,
                "innerunique" => JoinKind::InnerUnique,
                "leftouter" => JoinKind::LeftOuter,
                "leftanti" | "anti" | "leftantisemi" => JoinKind::LeftAnti,
                other => {
                    return Err(Fault::new(name.at, format!("the join kind `{other}` is not supported"))
                        .known("there are innerunique, inner, leftouter, leftanti"));
                }
            };
        }
        let right = self.side()?;
        self.expect_word("on")?;
        let mut keys = vec![self.join_key()?];
        while self.take_sign(",") || self.take_word("and") {
            keys.push(self.join_key()?);
        }
        Ok(OperatorKind::Join { kind, right, keys })
    }

    /// A table, or a query in parentheses.
    fn side(&mut self) -> Checked<Pipeline> {
        let at = self.place();
        if self.is_sign("(") {
            self.next();
            let inner = self.pipeline()?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let name = self.any_name()?;
        Ok(Pipeline { at, head: Head::Table(name), operators: Vec::new() })
    }

    fn join_key(&mut self) -> Checked<JoinKey> {
        let (side, name) = self.join_column()?;
        if side.is_none() {
            return Ok(JoinKey { left: Name { text: name.text.clone(), at: name.at }, right: name });
        }
        if !self.take_sign("==") {
            return Err(self.fault("`==` is missing").known("keys are joined by == only"));
        }
        let (other_side, other) = self.join_column()?;
        match (side, other_side) {
            (Some("left"), Some("right")) => Ok(JoinKey { left: name, right: other }),
            (Some("right"), Some("left")) => Ok(JoinKey { left: other, right: name }),
            _ => Err(Fault::new(other.at, "a key is a column of each side")
                .known("write it as $left.A == $right.B")),
        }
    }

    fn join_column(&mut self) -> Checked<(Option<&'static str>, Name)> {
        if !self.take_sign("$") {
            return Ok((None, self.any_name()?));
        }
        let side = if self.take_word("left") {
            "left"
        } else if self.take_word("right") {
            "right"
        } else {
            return Err(self.fault("this is no side of a join").known("the sides are $left and $right"));
        };
        self.expect_sign(".")?;
        Ok((Some(side), self.any_name()?))
    }

    fn union(&mut self) -> Checked<Union> {
        let mut with_source = None;
        let mut is_inner = false;
        loop {
            self.hints()?;
            if *self.peek_behind(1) != Token::Sign("=") {
                break;
            }
            if self.take_word("withsource") {
                self.next();
                with_source = Some(self.new_name()?);
            } else if self.take_word("kind") {
                self.next();
                is_inner = self.take_word("inner");
                if !is_inner {
                    self.expect_word("outer")?;
                }
            } else if self.take_word("isfuzzy") {
                self.next();
                self.next();
            } else {
                break;
            }
        }
        let legs = self.list(|parser| {
            if parser.is_sign("(") {
                return Ok(Leg::Within(parser.side()?));
            }
            Ok(Leg::Tables(parser.pattern()?))
        })?;
        Ok(Union { legs, with_source, is_inner })
    }

    fn expand(&mut self) -> Checked<OperatorKind> {
        let (mut index, mut as_arrays) = (None, false);
        while *self.peek_behind(1) == Token::Sign("=") {
            if self.take_word("with_itemindex") {
                self.next();
                index = Some(self.new_name()?);
            } else if self.is_word("kind") || self.is_word("bagexpansion") {
                self.next();
                self.next();
                as_arrays = self.take_word("array");
                if !as_arrays {
                    self.expect_word("bag")?;
                }
            } else {
                break;
            }
        }
        let items = self.list(|parser| {
            let Named { mut names, expression } = parser.named()?;
            if names.len() > 1 {
                return Err(Fault::new(names[1].at, "an expanded column has one name"));
            }
            let cast = if parser.take_word("to") { Some(parser.type_of()?) } else { None };
            Ok(ExpandItem { name: names.pop(), expression, cast })
        })?;
        let limit = if self.take_word("limit") { Some(self.expression()?) } else { None };
        Ok(OperatorKind::Expand { items, index, limit, as_arrays })
    }

    /// `typeof(long)`.
    fn type_of(&mut self) -> Checked<Type> {
        self.expect_word("typeof")?;
        self.expect_sign("(")?;
        let name = self.any_name()?;
        self.expect_sign(")")?;
        Type::named(&name.text).ok_or_else(|| {
            Fault::new(name.at, "this is no type")
                .known("types are bool, int, long, real, string, datetime, timespan, dynamic")
        })
    }

    fn render(&mut self) -> Checked<OperatorKind> {
        const KINDS: [&str; 15] = [
            "anomalychart",
            "areachart",
            "barchart",
            "card",
            "columnchart",
            "ladderchart",
            "linechart",
            "piechart",
            "pivotchart",
            "scatterchart",
            "stackedareachart",
            "table",
            "timechart",
            "timepivot",
            "treemap",
        ];
        let kind = self.any_name()?;
        if !KINDS.contains(&kind.text.as_str()) {
            let fault = Fault::new(kind.at, "this kind of chart is not known");
            return Err(fault.known(did_you_mean(&kind.text, KINDS)));
        }
        while !self.is_table_end(0) && !self.is_word("with") {
            // The older form: `render timechart title=…`.
            self.property()?;
        }
        if self.take_word("with") {
            self.expect_sign("(")?;
            while !self.take_sign(")") {
                self.property()?;
                self.take_sign(",");
            }
        }
        Ok(OperatorKind::Render)
    }

    fn property(&mut self) -> Checked<()> {
        self.any_name()?;
        self.expect_sign("=")?;
        loop {
            match self.next() {
                Token::Name(_) | Token::Bracketed(_) | Token::Literal(_) => {}
                _ => return Err(self.fault("the value of a property is missing")),
            }
            let lists_another = self.is_sign(",") && *self.peek_behind(2) != Token::Sign("=");
            if !lists_another || !self.take_sign(",") {
                return Ok(());
            }
        }
    }
}

/// The words that are literals.
fn literal_word(word: &str) -> Option<Literal> {
    match word {
        "true" => Some(Literal::Bool(true)),
        "false" => Some(Literal::Bool(false)),
        _ => None,
    }
}
