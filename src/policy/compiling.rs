//! Compiles one document into steps: the compiler's position, its steps so far, and its faults so far.

pub(crate) mod row;

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::contract::{Action, Evaluation, Scope, Step, StepPlace};
use crate::catalog::Name;
use crate::catalog::fault::{Fault, Remedy, nearest, shown};
use crate::catalog::named_value::NamedValues;
use crate::limits::POLICY_FAULTS_MAX;
use crate::limits::POLICY_PATTERNS_MAX;
use crate::policy::document::{Element, Given, Place, Unsubstituted, masked};
use crate::policy::expression::{Expression, Section, Wanted};
use crate::policy::setting::{Literal, Setting};
use row::{PolicyRow, Shape, Support, Table};

/// A fragment, read.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) file: Arc<str>,
    pub(crate) source: Arc<str>,
    pub(crate) root: Option<Element>,
}

/// The named values and fragments that documents refer to.
#[derive(Debug)]
pub(crate) struct References<'r> {
    pub(crate) fragments: &'r BTreeMap<Name, Fragment>,
    pub(crate) named_values: &'r NamedValues,
}

/// Policies of one section of a policy document and the steps they come to, counted together, those of the fragments that it
/// includes among them. Over it: a fault.
///
/// It bounds what a fragment that is included many times can come to, and with it what a publish and a handshake cost.
const POLICY_STEPS_MAX: usize = 2_000;

/// Bytes that the values of a policy document may have together, named values put in, and those of a fragment counted wherever
/// it is included. Over it: a fault.
///
/// It bounds what a short name for a long text, or a long fragment that is included often, can take of memory and time at a publish.
const POLICY_VALUES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How deep fragments may include one another. Over it, as when one includes itself: a fault.
const POLICY_FRAGMENTS_NESTED_MAX: usize = 5;

/// Faults of one policy document that are looked for, the same ones of a fragment counted wherever it is included. What comes
/// behind them is not looked at.
const POLICY_FAULTS_FOUND_MAX: usize = 20 * POLICY_FAULTS_MAX;

/// A compiler's state.
pub(crate) struct Compiling<'d> {
    /// The document's own file.
    document: &'d str,
    /// The file that is read: the document, or a fragment that it includes.
    file: &'d Arc<str>,
    source: &'d Arc<str>,
    table: Table,
    references: &'d References<'d>,
    fragments_nested: usize,
    /// The policy that is compiled.
    place: StepPlace,
    /// The table's row for the element in hand: the policy, or a part of it.
    shape: &'static Shape,
    steps: Vec<Step>,
    /// The part of the section that is compiled so far: policies, and the number of their steps.
    counted: usize,
    /// That it is too much was told.
    is_full: bool,
    /// The bytes that further values may take. `None`: the excess was reported, and no further value is looked at.
    values_bytes_left: Option<usize>,
    /// Regular expressions so far.
    patterns: usize,
    /// The secrets that stand in the policy that is compiled.
    secrets: Vec<Box<str>>,
    /// Policies that stand in a document once.
    met: Vec<&'static str>,
    faults: &'d mut Vec<Fault>,
    notes: &'d mut Vec<String>,
}

impl<'d> Compiling<'d> {
    pub(crate) fn new(
        file: &'d Arc<str>,
        source: &'d Arc<str>,
        scope: Scope,
        table: Table,
        references: &'d References<'d>,
        faults: &'d mut Vec<Fault>,
        notes: &'d mut Vec<String>,
    ) -> Self {
        let place = StepPlace {
            policy: "",
            scope,
            section: Section::Inbound,
            path: "".into(),
            id: None,
            secrets: Box::default(),
        };
        Self {
            document: file,
            file,
            source,
            table,
            references,
            fragments_nested: 0,
            place,
            shape: &Shape::NONE,
            steps: Vec::new(),
            counted: 0,
            is_full: false,
            values_bytes_left: Some(POLICY_VALUES_BYTES_MAX),
            patterns: 0,
            secrets: Vec::new(),
            met: Vec::new(),
            faults,
            notes,
        }
    }

    /// Faults of a section's own element.
    pub(crate) fn check_section(&mut self, element: &Element) {
        for attribute in &element.attributes {
            let key = format!("{} {}", element.name, attribute.name);
            self.refuse(
                attribute.at,
                key,
                Fault::UNKNOWN,
                Remedy::act("a section has no attributes: remove it"),
            );
        }
        self.refuse_text(element);
    }

    /// Compiles a section. `put` takes the steps so far, at each `<base/>` and at the end, and whether it is the former.
    pub(crate) fn section(
        &mut self,
        element: &Element,
        section: Section,
        mut put: impl FnMut(Vec<Step>, bool) -> Result<(), &'static str>,
    ) {
        self.place.section = section;
        (self.counted, self.is_full) = (0, false);
        self.each_policy(element, |compiling, child| {
            if child.name != "base" {
                return false;
            }
            if !child.attributes.is_empty() || !child.children.is_empty() {
                compiling.refuse_element(child, "write it as <base/>, without attributes and children");
            }
            let steps = core::mem::take(&mut compiling.steps);
            if let Err(act) = put(steps, true) {
                compiling.refuse_element(child, act);
            }
            true
        });
        // Nothing is between the last steps and the end to be refused.
        let _ = put(core::mem::take(&mut self.steps), false);
    }

    /// Compiles the policies in `element`.
    pub(crate) fn policies(&mut self, element: &Element) {
        self.each_policy(element, |_, _| false);
    }

    /// Compiles the policies in `element` that `takes` does not take for something else.
    fn each_policy(&mut self, element: &Element, mut takes: impl FnMut(&mut Self, &Element) -> bool) {
        self.each_counted(element, |compiling, child| {
            if !takes(compiling, child) {
                compiling.policy(child);
            }
        });
    }

    /// Runs `each` for the children, with its place among those of the same name in the path.
    fn each_counted(&mut self, element: &Element, mut each: impl FnMut(&mut Self, &Element)) {
        let outer = self.place.path.clone();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for child in &element.children {
            let count = counts.entry(&child.name).or_default();
            *count += 1;
            let mut path = String::from(&*outer);
            if !path.is_empty() {
                path.push('/');
            }
            write!(path, "{}[{count}]", child.name).expect("writing to a String does not fail");
            self.place.path = path.into();
            each(self, child);
            // What is too much was told, and the rest is not looked at: a fragment may be large and included often.
            if self.is_full || self.values_bytes_left.is_none() {
                break;
            }
        }
        self.place.path = outer;
    }

    /// Runs `each` for the children that the table knows, which are no policies of their own but parts of one.
    pub(crate) fn each_child(&mut self, element: &Element, mut each: impl FnMut(&mut Self, &Element)) {
        let shape = self.shape;
        self.each_counted(element, |compiling, child| {
            if let Some(child_shape) = shape.child(&child.name) {
                compiling.shape = child_shape;
                compiling.check_shape(child);
                each(compiling, child);
            }
        });
        self.shape = shape;
    }

    fn policy(&mut self, element: &Element) {
        if !self.has_room(element) {
            return;
        }
        if element.name == "base" {
            return self.refuse_element(
                element,
                "move it: it stands directly in a section of a document, in no other element",
            );
        }
        let Some(row) = (self.table.row)(&element.name) else {
            let act = (self.table.suggestion)(&element.name, self.place.section);
            return self.refuse_unknown(element, &act);
        };
        match row.support {
            Support::NotOnHandshake if self.place.scope == Scope::Operation => {
                return self.refuse_element(
                    element,
                    "remove it: it does not apply to an opening handshake (at global and product scope it is skipped)",
                );
            }
            Support::NotOnHandshake => {
                return self.note(element, "skipped: it does not apply to onHandshake");
            }
            Support::NotYet => {
                return self.refuse_element(
                    element,
                    "remove it: ringgate does not have this policy of Azure API Management yet",
                );
            }
            Support::Leaf(_) | Support::Nested(_) => {}
        }
        if !self.check_where(element, row) {
            return;
        }
        let outer_secrets = core::mem::take(&mut self.secrets);
        let outer = (self.place.policy, self.place.id.take(), self.shape);
        self.place.policy = row.shape.name;
        self.place.id = self.id(element);
        self.shape = &row.shape;
        let faults = self.faults.len();
        self.check_shape(element);
        match row.support {
            Support::Leaf(compile) => {
                match compile(self, element) {
                    Some(policy) => {
                        self.push(Action::Run(policy));
                    }
                    // A guard that is left out in silence would let everybody in.
                    None if self.faults.len() == faults => {
                        self.refuse_element(
                            element,
                            "it cannot be compiled, which is a bug of ringgate: please report it",
                        );
                    }
                    None => {}
                }
            }
            Support::Nested(compile) => compile(self, element),
            Support::NotOnHandshake | Support::NotYet => {}
        }
        (self.place.policy, self.place.id, self.shape) = outer;
        self.secrets = outer_secrets;
    }

    fn id(&mut self, element: &Element) -> Option<Box<str>> {
        let given = self.given(element, "id")?;
        Some(given.shown().into())
    }

    fn check_where(&mut self, element: &Element, row: &PolicyRow) -> bool {
        if !row.sections.contains(&self.place.section) {
            let names: Vec<&str> = row.sections.iter().map(|section| section.name()).collect();
            self.refuse_element(element, &format!("move it: it may stand in {} only", names.join(", ")));
            return false;
        }
        if !row.scopes.contains(&self.place.scope) {
            let names: Vec<&str> = row.scopes.iter().map(|scope| scope.name()).collect();
            self.refuse_element(
                element,
                &format!("move it: it may stand in documents of the scopes {} only", names.join(", ")),
            );
            return false;
        }
        true
    }

    /// Counts a policy. One that comes to no step counts too, since a fragment may include nothing many times.
    fn has_room(&mut self, element: &Element) -> bool {
        self.counted += 1;
        let is_full = self.counted > POLICY_STEPS_MAX;
        if is_full && !core::mem::replace(&mut self.is_full, true) {
            let allowed = format!(
                "a section may have at most {POLICY_STEPS_MAX} policies and steps, those of fragments included"
            );
            self.refuse_element(element, &allowed);
        }
        !is_full
    }

    /// Compiles the policies of a fragment in the place of `element`.
    pub(crate) fn include(&mut self, element: &Element, fragment: &'d Fragment) {
        let Some(root) = &fragment.root else { return };
        if self.fragments_nested == POLICY_FRAGMENTS_NESTED_MAX {
            let allowed = format!(
                "fragments may include one another at most {POLICY_FRAGMENTS_NESTED_MAX} deep: does one include itself?"
            );
            return self.refuse_element(element, &allowed);
        }
        let outer = (self.file, self.source);
        (self.file, self.source) = (&fragment.file, &fragment.source);
        self.fragments_nested += 1;
        self.policies(root);
        self.fragments_nested -= 1;
        (self.file, self.source) = outer;
    }

    /// The document that is compiled, by the name of its file: what is counted for a document goes by it.
    pub(crate) fn document(&self) -> &'d str {
        self.document
    }

    /// Refuses the policy if it stood in the document before.
    pub(crate) fn once(&mut self, element: &Element) {
        let policy = self.place.policy;
        if self.met.contains(&policy) {
            self.refuse_element(element, "it may stand once in a document: remove one of them");
        }
        self.met.push(policy);
    }

    /// Compiles with `work` a part that is evaluated in another section than the one that contains it.
    pub(crate) fn put_off<T>(&mut self, section: Section, work: impl FnOnce(&mut Self) -> T) -> T {
        let outer = core::mem::replace(&mut self.place.section, section);
        let made = work(self);
        self.place.section = outer;
        made
    }

    /// The fragment of that name.
    pub(crate) fn fragment(&self, name: &str) -> Option<&'d Fragment> {
        let references = self.references;
        references.fragments.iter().find(|(known, _)| known.as_str() == name).map(|(_, fragment)| fragment)
    }

    /// Adds a step; gives its place among those of the section, for [`close`](Self::close).
    pub(crate) fn push(&mut self, action: Action) -> usize {
        self.counted += 1;
        let place = StepPlace { secrets: self.secrets.clone().into(), ..self.place.clone() };
        self.steps.push(Step { place, action });
        self.steps.len() - 1
    }

    /// Lets the step skip all that was added behind it.
    pub(crate) fn close(&mut self, opened: usize) {
        let behind = self.steps.len() - opened - 1;
        match &mut self.steps[opened].action {
            Action::Unless { skip, .. } | Action::Skip(skip) => *skip = behind,
            Action::Run(_) => {}
        }
    }

    /// A setting of an attribute, or its default. `None`: it is absent, or at fault, which was told.
    pub(crate) fn setting<T: Literal>(&mut self, element: &Element, name: &str) -> Option<Setting<T>> {
        match self.given(element, name) {
            Some(given) => {
                let takes_expression = self.shape.attribute(name).is_some_and(|row| row.takes_expression);
                self.setting_of(&given, &format!("{} {name}", element.name), takes_expression)
            }
            None => {
                let default = self.shape.attribute(name)?.default?;
                // An attribute that is given and at fault has been told.
                if element.attribute(name).is_some() {
                    return None;
                }
                T::parse(default).map(|value| Setting::Fixed(value, default.into()))
            }
        }
    }

    /// The value of an attribute that takes no expression, or its default.
    pub(crate) fn fixed<T: Literal>(&mut self, element: &Element, name: &str) -> Option<T> {
        self.setting(element, name)?.fixed().cloned()
    }

    /// Compiles the text of an element.
    pub(crate) fn text<T: Literal>(&mut self, element: &Element) -> Option<Setting<T>> {
        match &element.text {
            Some(text) => {
                let given = self.substituted(text)?;
                self.setting_of(&given, &element.name, true)
            }
            None => {
                let value = T::parse("");
                if value.is_none() {
                    self.refuse_element(
                        element,
                        &format!("write its value into it: allowed is {}", T::ALLOWED),
                    );
                }
                value.map(|value| Setting::Fixed(value, "".into()))
            }
        }
    }

    /// Compiles the `<value>` elements in `element`; each fixed value is `checked`.
    pub(crate) fn values<T: Literal>(
        &mut self,
        element: &Element,
        is_allowed: impl Fn(&T) -> bool,
        allowed: &str,
    ) -> Option<Vec<Setting<T>>> {
        let mut values = Some(Vec::new());
        self.each_child(element, |compiling, child| {
            if child.name != "value" {
                return;
            }
            let value = compiling.text(child);
            if value.as_ref().and_then(Setting::fixed).is_some_and(|value| !is_allowed(value)) {
                let text = child.text.as_ref().map(Given::shown).unwrap_or_default();
                compiling.refuse(child.at, child.name.clone(), &shown(&text), allowed);
            }
            match (&mut values, value) {
                (Some(values), Some(value)) => values.push(value),
                (_, _) => values = None,
            }
        });
        values
    }

    /// The condition in an attribute.
    pub(crate) fn condition(&mut self, element: &Element, name: &str) -> Option<Evaluation> {
        let given = self.given(element, name)?;
        let key = format!("{} {name}", element.name);
        if !Expression::is_expression(given.text()) {
            self.refuse(
                given.source_of(0),
                key,
                &shown(&on_one_line(&given.shown())),
                "an expression that gives a bool: @(…)",
            );
            return None;
        }
        self.evaluation(&given, &key, Wanted::Bool)
    }

    fn setting_of<T: Literal>(
        &mut self,
        given: &Given,
        key: &str,
        takes_expression: bool,
    ) -> Option<Setting<T>> {
        let shown_text: Box<str> = given.shown().into();
        if !Expression::is_expression(given.text()) {
            let value = T::parse(given.text());
            if value.is_none() {
                let or = if takes_expression { ", or an expression" } else { "" };
                self.refuse(
                    given.source_of(0),
                    key.to_owned(),
                    &shown(&shown_text),
                    format!("{}{or}", T::ALLOWED),
                );
            }
            return value.map(|value| Setting::Fixed(value, shown_text));
        }
        if !takes_expression {
            let allowed = format!("{}; an expression is not", T::ALLOWED);
            self.refuse(given.source_of(0), key.to_owned(), &shown(&shown_text), allowed);
            return None;
        }
        self.evaluation(given, key, T::WANTED).map(Setting::Evaluated)
    }

    fn evaluation(&mut self, given: &Given, key: &str, wanted: Wanted) -> Option<Evaluation> {
        let expression = self.expression(given, key, wanted)?;
        let origin = given.origin(self.file, self.source);
        Some(Evaluation { expression, shown: given.shown().into(), origin })
    }

    fn expression(&mut self, given: &Given, key: &str, wanted: Wanted) -> Option<Expression> {
        // None is written without the name.
        let text = given.text();
        self.patterns += text.matches("Regex").count() - text.matches("RegexOptions").count();
        if self.patterns > POLICY_PATTERNS_MAX {
            // It was told, and nothing more is looked at.
            self.values_bytes_left = None;
            let act = format!(
                "a document may have at most {POLICY_PATTERNS_MAX} regular expressions, those of fragments included"
            );
            self.refuse(
                given.source_of(0),
                key.to_owned(),
                &shown(&on_one_line(&given.shown())),
                Remedy::act(act),
            );
            return None;
        }
        match Expression::compile(text, wanted, self.place.section) {
            Ok(expression) => Some(expression),
            Err(faults) => {
                for fault in faults {
                    let act = format!("correct the expression: {}", given.told(&fault.message));
                    let at = given.source_of(fault.position.offset);
                    self.refuse(at, key.to_owned(), &shown(&on_one_line(&given.shown())), Remedy::act(act));
                }
                None
            }
        }
    }

    /// The value of an attribute, its named values replaced.
    fn given(&mut self, element: &Element, name: &str) -> Option<Given> {
        self.substituted(&element.attribute(name)?.value)
    }

    fn substituted(&mut self, given: &Given) -> Option<Given> {
        let room = self.values_bytes_left?;
        match given.clone().with_named_values(self.references.named_values, room) {
            Ok(given) => {
                self.values_bytes_left = Some(room - given.text().len());
                self.secrets.extend_from_slice(given.secrets());
                Some(given)
            }
            Err(Unsubstituted::Unknown { name, at }) => {
                let key = format!("{{{{{name}}}}}");
                let known: Vec<&str> = self.references.named_values.keys().map(AsRef::as_ref).collect();
                let near = nearest(&known, &name);
                let suggestion =
                    near.map(|near| format!("did you mean {{{{{near}}}}}? ")).unwrap_or_default();
                let act = format!("{suggestion}add [{name}] with its value to named-values.toml");
                self.refuse(at, key, Fault::UNKNOWN, Remedy::act(act));
                None
            }
            Err(Unsubstituted::TooLong) => {
                self.values_bytes_left = None;
                let act = format!(
                    "the values of a document may have at most {} MiB together, with named values put in and those of \
                     fragments counted wherever they are included",
                    POLICY_VALUES_BYTES_MAX / 1024 / 1024
                );
                self.refuse(
                    given.source_of(0),
                    String::new(),
                    "too much text up to this value",
                    Remedy::act(act),
                );
                None
            }
        }
    }

    fn check_shape(&mut self, element: &Element) {
        let shape = self.shape;
        let is_policy = (self.table.row)(shape.name).is_some();
        for attribute in &element.attributes {
            if shape.attribute(&attribute.name).is_some() || is_policy && attribute.name == "id" {
                continue;
            }
            let names: Vec<&str> = shape.attributes.iter().map(|row| row.name).collect();
            let act = match nearest(&names, &attribute.name) {
                _ if names.is_empty() => format!("{} has no attributes: remove it", element.name),
                Some(near) => format!("did you mean {near}? the attributes here are {}", names.join(", ")),
                None => format!("the attributes here are {}", names.join(", ")),
            };
            let key = format!("{} {}", element.name, attribute.name);
            self.refuse(attribute.at, key, Fault::UNKNOWN, Remedy::act(act));
        }
        for row in shape.attributes.iter().filter(|row| row.is_required) {
            if element.attribute(row.name).is_none() {
                self.refuse_missing(element, row.name, "add this attribute");
            }
        }
        if !shape.holds_policies {
            for child in element.children.iter().filter(|child| shape.child(&child.name).is_none()) {
                let names: Vec<&str> = shape.children.iter().map(|child| child.name).collect();
                let act = match nearest(&names, &child.name) {
                    _ if names.is_empty() => format!("nothing may stand in {}: remove it", element.name),
                    Some(near) => {
                        format!("did you mean {near}? in {} may stand {}", element.name, names.join(", "))
                    }
                    None => format!("in {} may stand {}", element.name, names.join(", ")),
                };
                self.refuse_unknown(child, &act);
            }
        }
        if !shape.holds_text {
            self.refuse_text(element);
        }
    }

    fn refuse_text(&mut self, element: &Element) {
        if let Some(text) = &element.text {
            let at = text.source_of(0);
            let act = Remedy::act("no text may stand here, only elements: remove it");
            self.refuse(at, element.name.clone(), &shown(&text.shown()), act);
        }
    }

    /// Something to say about a policy that is in order.
    pub(crate) fn note(&mut self, element: &Element, text: &str) {
        let place = Place::within(self.source, element.at);
        let note = format!("{}:{place}: <{}>: {text}", self.file, element.name);
        // A fragment is compiled wherever it is included.
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// A fault about an element, and what to do about it.
    pub(crate) fn refuse_element(&mut self, element: &Element, act: &str) {
        self.refuse(element.at, String::new(), &format!("<{}>", element.name), Remedy::act(act));
    }

    /// A fault about an element that means nothing here, and what to do about it.
    fn refuse_unknown(&mut self, element: &Element, act: &str) {
        self.refuse(
            element.at,
            String::new(),
            &format!("<{}> is not known here", element.name),
            Remedy::act(act),
        );
    }

    /// A fault about what is missing in an element, and what to do about it.
    pub(crate) fn refuse_missing(&mut self, element: &Element, name: &str, act: &str) {
        self.refuse(element.at, format!("{} {name}", element.name), Fault::MISSING, Remedy::act(act));
    }

    /// A fault about the value of an attribute that is there: what value is allowed, or what to do.
    pub(crate) fn refuse_value(&mut self, element: &Element, name: &str, allowed: impl Into<Remedy>) {
        let Some(given) = self.given(element, name) else { return };
        self.refuse(
            given.source_of(0),
            format!("{} {name}", element.name),
            &shown(&on_one_line(&given.shown())),
            allowed,
        );
    }

    fn refuse(&mut self, at: usize, key: String, value: &str, remedy: impl Into<Remedy>) {
        if self.faults.len() >= POLICY_FAULTS_FOUND_MAX {
            return;
        }
        let place = Place::within(self.source, at);
        self.faults.push(Fault {
            file: self.file.to_string(),
            line: Some(place.line),
            column: Some(place.column),
            key,
            value: masked(value.to_owned(), &self.secrets),
            remedy: remedy.into().map(|text| masked(text, &self.secrets)),
        });
    }
}

/// A text of several lines on one: an expression may be indented as the document is.
fn on_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
