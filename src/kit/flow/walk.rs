//! The walk over a parsed program: a small interpreter whose values are shapes.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use vrl::{
    parser::{
        Program,
        ast::{
            Assignment, AssignmentTarget, Block, Container, Expr, FunctionCall, IfStatement, Literal, Node, Opcode, Predicate,
            Query, QueryTarget, RootExpr,
        },
        template_string::StringSegment,
    },
    path::{OwnedSegment, OwnedValuePath, PathPrefix},
};

use super::{ANY, Flow, Named, Output, Path, Shape};

/// Names under which the row and the facts beside it stand among the variables.
const ROW: &str = ".";
const META: &str = "%";
/// Functions that give back what they got, as far as its inside goes.
const PASSING: &[&str] = &["array", "object", "compact", "unique", "flatten", "sort", "filter", "unnest", "del", "reverse"];
/// Functions that look at a value without using what is in it.
const LOOKING: &[&str] = &["length", "is_null", "is_array", "is_object", "is_string", "exists", "is_nullish", "is_empty"];

type Variables = BTreeMap<String, Shape>;

/// Walks a whole program.
pub(super) fn walk(program: Program) -> Flow {
    let mut walker = Walker { flow: Flow::default(), variables: Variables::new(), control: Vec::new() };
    walker.variables.insert(ROW.to_owned(), Shape::source(Path::default()));
    walker.variables.insert(META.to_owned(), Shape::source(Path { meta: true, parts: vec![] }));
    for root in program.0 {
        if let RootExpr::Expr(expr) = root.into_inner() {
            walker.expr(expr);
        }
    }
    walker.end()
}

struct Walker {
    flow: Flow,
    variables: Variables,
    /// Fields that decide whether the current block runs.
    control: Vec<BTreeSet<Path>>,
}

impl Walker {
    fn end(mut self) -> Flow {
        let left = self.variables.get(ROW).cloned().unwrap_or_default();
        let outputs = if left.items.is_empty() { vec![left] } else { left.items.clone() };
        for shape in outputs.into_iter().filter(|shape| shape.fields.contains_key("record")) {
            self.use_all(&shape, &(0..0));
            self.flow.outputs.push(Output { datasets: shape.field("dataset").texts, shape });
        }
        self.flow
    }

    fn expr(&mut self, expr: Node<Expr>) -> Shape {
        let span = range(&expr);
        match expr.into_inner() {
            Expr::Literal(literal) => self.literal(literal.into_inner(), &span),
            Expr::Container(container) => self.container(container.into_inner()),
            Expr::IfStatement(statement) => self.branch(statement.into_inner()),
            Expr::Op(op) => {
                let op = op.into_inner();
                self.op(*op.0, op.1.into_inner(), *op.2)
            }
            Expr::Assignment(assignment) => self.assignment(assignment.into_inner()),
            Expr::Query(query) => self.query(query.into_inner()),
            Expr::FunctionCall(call) => self.call(call.into_inner(), &span),
            Expr::Variable(name) => self.variable(&name),
            Expr::Unary(unary) => {
                let vrl::parser::ast::Unary::Not(not) = unary.into_inner();
                let shape = self.used(*not.into_inner().take().1);
                Shape::made_of([&shape])
            }
            Expr::Abort(abort) => {
                if let Some(message) = abort.into_inner().message {
                    self.used(*message);
                }
                Shape::default()
            }
            Expr::Return(value) => {
                let shape = self.expr(*value.into_inner().expr);
                self.variables.entry(ROW.to_owned()).or_default().join(&shape);
                Shape::default()
            }
            Expr::Break(_) => Shape::default(),
        }
    }

    /// A value that is looked into, not only passed on.
    fn used(&mut self, expr: Node<Expr>) -> Shape {
        let span = range(&expr);
        let shape = self.expr(expr);
        self.use_all(&shape, &span);
        shape
    }

    fn use_all(&mut self, shape: &Shape, span: &Range<usize>) {
        for path in &shape.is {
            self.flow.reads.entry(path.clone()).or_insert_with(|| span.clone());
        }
        for member in shape.fields.values() {
            self.use_all(&member.shape, span);
        }
        for item in &shape.items {
            self.use_all(item, span);
        }
    }

    fn literal(&mut self, literal: Literal, span: &Range<usize>) -> Shape {
        let template = match literal {
            Literal::String(template) => template,
            Literal::RawString(text) => return Shape::text(&text),
            _ => return Shape::default(),
        };
        if let Some(text) = template.as_literal_string() {
            return Shape::text(text);
        }
        let mut from = BTreeSet::new();
        for segment in &template.0 {
            if let StringSegment::Template(name, _) = segment {
                let shape = self.variable(name.trim());
                self.use_all(&shape, span);
                from.extend(shape.all());
            }
        }
        Shape::made(from)
    }

    fn variable(&self, name: &str) -> Shape {
        self.variables.get(name).cloned().unwrap_or_default()
    }

    fn container(&mut self, container: Container) -> Shape {
        match container {
            Container::Group(group) => self.expr(group.into_inner().into_inner()),
            Container::Block(block) => self.block(block.into_inner()),
            Container::Array(array) => {
                let mut shape = Shape::default();
                for item in array.into_inner() {
                    let item = self.expr(item);
                    shape.push(item);
                }
                shape
            }
            Container::Object(object) => {
                let mut shape = Shape::default();
                for (key, value) in object.into_inner() {
                    let span = range(&key);
                    let value = self.expr(value);
                    shape.set(&[key.into_inner()], value, &span);
                }
                shape
            }
        }
    }

    fn block(&mut self, block: Block) -> Shape {
        let mut last = Shape::default();
        for expr in block.into_inner() {
            last = self.expr(expr);
        }
        last
    }

    fn branch(&mut self, statement: IfStatement) -> Shape {
        let conditions = match statement.predicate.into_inner() {
            Predicate::One(one) => vec![*one],
            Predicate::Many(many) => many,
        };
        let mut control = BTreeSet::new();
        for condition in conditions {
            control.extend(self.used(condition).all());
        }
        self.control.push(control);
        let before = self.variables.clone();
        let mut shape = self.block(statement.if_node.into_inner());
        let after = std::mem::replace(&mut self.variables, before);
        if let Some(otherwise) = statement.else_node {
            let other = self.block(otherwise.into_inner());
            shape.join(&other);
        }
        self.merge(after);
        self.owe(&mut shape);
        self.control.pop();
        shape
    }

    /// The variables are as they stand now, or as they were left elsewhere.
    fn merge(&mut self, other: Variables) {
        for (name, shape) in other {
            match self.variables.get_mut(&name) {
                Some(mine) if *mine != shape => mine.join(&shape),
                Some(_) => {}
                None => drop(self.variables.insert(name, shape)),
            }
        }
    }

    /// A value that no field went into comes from the fields that decided on it.
    fn owe(&self, shape: &mut Shape) {
        if shape.from.is_empty() && shape.fields.is_empty() && shape.items.is_empty() {
            shape.by.extend(self.control.iter().flatten().cloned());
        }
    }

    fn op(&mut self, left: Node<Expr>, op: Opcode, right: Node<Expr>) -> Shape {
        // The right side of these is one of the results.
        let choice = matches!(op, Opcode::Err | Opcode::Or | Opcode::Merge);
        let (mut left, right) = if choice { (self.expr(left), self.expr(right)) } else { (self.used(left), self.used(right)) };
        if choice {
            left.join(&right);
            return left;
        }
        Shape::made_of([&left, &right])
    }

    fn assignment(&mut self, assignment: Assignment) -> Shape {
        let (target, error, op, expr) = match assignment {
            Assignment::Single { target, op, expr } => (target, None, op, expr),
            Assignment::Infallible { ok, err, op, expr } => (ok, Some(err), op, expr),
        };
        let mut shape = self.expr(*expr);
        self.owe(&mut shape);
        if let Some(error) = error {
            self.assign(error, Shape::made(shape.all()));
        }
        if op == vrl::parser::ast::AssignmentOp::Merge {
            let mut old = target_place(target.as_ref()).map(|(name, path)| self.at(&name, &path)).unwrap_or_default();
            old.join(&shape);
            shape = old;
        }
        self.assign(target, shape.clone());
        shape
    }

    fn assign(&mut self, target: Node<AssignmentTarget>, shape: Shape) {
        let span = range(&target);
        if let Some((name, path)) = target_place(target.as_ref()) {
            self.variables.entry(name).or_default().set(&path, shape, &span);
        }
    }

    fn at(&self, name: &str, path: &[String]) -> Shape {
        descend(self.variable(name), path)
    }

    fn query(&mut self, query: Query) -> Shape {
        let path = names(query.path.as_ref());
        let target = match query.target.into_inner() {
            QueryTarget::Internal(name) => self.variable(&name),
            QueryTarget::External(PathPrefix::Event) => self.variable(ROW),
            QueryTarget::External(PathPrefix::Metadata) => self.variable(META),
            QueryTarget::FunctionCall(call) => self.call(call, &(0..0)),
            QueryTarget::Container(container) => self.container(container),
        };
        descend(target, &path)
    }

    fn call(&mut self, call: FunctionCall, span: &Range<usize>) -> Shape {
        let name = call.ident.to_string();
        let mut arguments = Vec::new();
        for argument in call.arguments {
            let span = range(&argument);
            let argument = argument.into_inner();
            let shape = self.expr(argument.expr);
            arguments.push((argument.ident.map(|ident| ident.to_string()), shape, span));
        }
        if let Some(closure) = call.closure {
            let closure = closure.into_inner();
            let names = closure.variables.iter().map(|name| name.as_ref().to_string()).collect();
            return self.closure(&name, &arguments, names, closure.block.into_inner());
        }
        self.note_call(&name, &arguments, span);
        result(&name, &arguments)
    }

    /// What a call reads, and by which code list it translates.
    fn note_call(&mut self, name: &str, arguments: &[Argument], span: &Range<usize>) {
        let list = (name == "code").then(|| argument(arguments, "list", 0)).flatten();
        if let Some((_, list, place)) = list {
            let named = list.texts.iter().map(|text| Named { name: text.clone(), span: place.clone() });
            self.flow.lists_named.extend(named);
        }
        let lists: BTreeSet<String> = list.map(|(_, list, _)| list.texts.clone()).unwrap_or_default();
        let passing = PASSING.contains(&name) || LOOKING.contains(&name) || matches!(name, "push" | "append" | "merge");
        for (_, shape, _) in arguments {
            if !passing {
                self.use_all(shape, span);
            }
            for path in shape.all() {
                self.flow.calls.entry(path.clone()).or_default().insert(name.to_owned());
                if !lists.is_empty() {
                    self.flow.lists.entry(path).or_default().extend(lists.iter().cloned());
                }
            }
        }
    }

    /// A function with a closure: its body runs for every item or field of the first argument.
    fn closure(&mut self, name: &str, arguments: &[Argument], names: Vec<String>, block: Block) -> Shape {
        let whole = arguments.first().map(|(_, shape, _)| shape.clone()).unwrap_or_default();
        let value = if whole.items.is_empty() { whole.field(ANY) } else { whole.item() };
        let hidden: Vec<_> = names.iter().map(|name| (name.clone(), self.variables.remove(name))).collect();
        let mut made = Shape::default();
        // Twice: what one turn leaves is there in the next.
        for _ in 0..2 {
            let before = self.variables.clone();
            if let Some(last) = names.last() {
                self.variables.insert(last.clone(), value.clone());
            }
            if let (2, Some(first)) = (names.len(), names.first()) {
                self.variables.insert(first.clone(), Shape::made(whole.from.clone()));
            }
            let result = self.block(block.clone());
            made.join(&result);
            self.merge(before);
        }
        for (name, shape) in hidden {
            self.variables.remove(&name);
            self.variables.extend(shape.map(|shape| (name, shape)));
        }
        match name {
            "map_values" => {
                let mut shape = whole;
                shape.push(made);
                shape
            }
            "for_each" => Shape::default(),
            _ => {
                self.use_all(&whole, &(0..0));
                whole
            }
        }
    }
}

type Argument = (Option<String>, Shape, Range<usize>);

/// An argument by its name or its place.
fn argument<'a>(arguments: &'a [Argument], name: &str, place: usize) -> Option<&'a Argument> {
    arguments.iter().find(|(given, ..)| given.as_deref() == Some(name)).or_else(|| arguments.get(place))
}

/// What a call gives.
fn result(name: &str, arguments: &[Argument]) -> Shape {
    let first = arguments.first().map(|(_, shape, _)| shape.clone()).unwrap_or_default();
    let second = arguments.get(1).map(|(_, shape, _)| shape.clone()).unwrap_or_default();
    match name {
        name if PASSING.contains(&name) => first,
        // The length of a list is not made of what is in it.
        name if LOOKING.contains(&name) => Shape::made(first.from),
        "push" => {
            let mut list = first;
            list.push(second);
            list
        }
        "append" | "merge" => {
            let mut both = first;
            both.join(&second);
            both
        }
        "get" => descend(first, &literal_path(&second).unwrap_or_else(|| vec![ANY.to_owned()])),
        "set" => set_result(first, &second, arguments),
        "remove" => first,
        _ => Shape::made_of(arguments.iter().map(|(_, shape, _)| shape)),
    }
}

fn set_result(mut object: Shape, path: &Shape, arguments: &[Argument]) -> Shape {
    let (value, span) = arguments.get(2).map(|(_, shape, span)| (shape.clone(), span.clone())).unwrap_or_default();
    match literal_path(path) {
        Some(path) => object.set(&path, value, &span),
        None => {
            object.open = true;
            object.from.extend(value.all());
            object.from.extend(path.all());
        }
    }
    object
}

/// The path `["a", "b"]` of `get` and `set`, if it stands in the program.
fn literal_path(path: &Shape) -> Option<Vec<String>> {
    let one = |item: &Shape| if item.texts.len() == 1 { item.texts.first().cloned() } else { None };
    if path.items.is_empty() { None } else { path.items.iter().map(one).collect() }
}

fn descend(mut shape: Shape, path: &[String]) -> Shape {
    for part in path {
        shape = if part == ANY { shape.item() } else { shape.field(part) };
    }
    shape
}

fn names(path: &OwnedValuePath) -> Vec<String> {
    let name = |segment: &OwnedSegment| match segment {
        OwnedSegment::Field(name) => name.to_string(),
        OwnedSegment::Index(_) => ANY.to_owned(),
    };
    path.segments.iter().map(name).collect()
}

/// Variable and path that an assignment writes.
fn target_place(target: &AssignmentTarget) -> Option<(String, Vec<String>)> {
    match target {
        AssignmentTarget::Noop => None,
        AssignmentTarget::Internal(name, path) => Some((name.to_string(), path.as_ref().map(names).unwrap_or_default())),
        AssignmentTarget::External(None) => Some((ROW.to_owned(), vec![])),
        AssignmentTarget::External(Some(path)) => {
            let name = if path.prefix == PathPrefix::Event { ROW } else { META };
            Some((name.to_owned(), names(&path.path)))
        }
        AssignmentTarget::Query(query) => match query.target.as_ref() {
            QueryTarget::Internal(name) => Some((name.to_string(), names(query.path.as_ref()))),
            QueryTarget::External(PathPrefix::Event) => Some((ROW.to_owned(), names(query.path.as_ref()))),
            _ => None,
        },
    }
}

fn range<T>(node: &Node<T>) -> Range<usize> {
    node.start()..node.end()
}
