//! Finds where a query names relations: what stands at the places of a FROM clause.
//!
//! It follows the clauses of `gram.y` by their reserved words, one state for each level of parentheses. Its findings
//! only ever add doubt: every identifier that is some relation's name counts as read wherever it stands
//! (`facts.rs`); what this adds is that a name in a relation's place which the catalog doesn't know is noticed.

use crate::sql::{Token, TokenKind};

/// What a scan found, as indexes of tokens.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The last parts of the names at relations' places.
    pub relations: Vec<usize>,
    /// Names before a parenthesis that are aliases with column lists, not functions.
    pub aliases: Vec<usize>,
    /// Names of common table expressions.
    pub ctes: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// A query or an operand may begin.
    Start,
    /// A level of parentheses among FROM items: a query, or joined tables.
    StartJoin,
    /// WITH: names of common table expressions.
    With,
    /// Expressions of a query, before FROM or after its end.
    Expressions,
    /// Expressions in parentheses: a FROM in them is that of `extract`, `substring`, `trim`.
    Operand,
    /// FROM: an item is next.
    Item,
    /// FROM: after an item's name, its alias.
    AfterItem,
    /// FROM: a join's condition.
    Condition,
}

/// Scans a statement that begins with SELECT, VALUES, TABLE, WITH or a parenthesis, or contains such queries.
pub(super) fn scan(sql: &[u8], tokens: &[Token]) -> Places {
    let mut scan = Scan { sql, tokens, places: Places::default(), stack: vec![State::Start] };
    let mut at = 0;
    while at < tokens.len() {
        at = scan.step(at);
    }
    scan.places
}

struct Scan<'a> {
    sql: &'a [u8],
    tokens: &'a [Token],
    places: Places,
    stack: Vec<State>,
}

impl Scan<'_> {
    fn kind(&self, at: usize) -> Option<TokenKind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(self.sql, word))
    }

    fn before(&self, at: usize, back: usize, word: &str) -> bool {
        at.checked_sub(back).is_some_and(|at| self.is(at, word))
    }

    fn state(&self) -> State {
        self.stack.last().copied().unwrap_or(State::Expressions)
    }

    fn set(&mut self, state: State) {
        if let Some(top) = self.stack.last_mut() {
            *top = state;
        }
    }

    /// Looks at the token `at` and tells where to go on.
    fn step(&mut self, at: usize) -> usize {
        let Some(token) = self.tokens.get(at) else { return at + 1 };
        match token.kind {
            TokenKind::LeftParen => {
                let item = matches!(self.state(), State::Item | State::StartJoin);
                if item {
                    self.set(State::AfterItem);
                }
                self.stack.push(if item { State::StartJoin } else { State::Start });
            }
            TokenKind::RightParen => {
                self.stack.pop();
            }
            TokenKind::Comma => {
                if matches!(self.state(), State::Item | State::AfterItem | State::Condition) {
                    self.set(State::Item);
                } else if self.state() == State::Start {
                    self.set(State::Operand);
                }
            }
            TokenKind::Word | TokenKind::Quoted => return self.name(at, token.kind == TokenKind::Word),
            _ => {
                if matches!(self.state(), State::Start | State::StartJoin) {
                    self.set(State::Operand);
                }
            }
        }
        at + 1
    }

    fn name(&mut self, at: usize, word: bool) -> usize {
        // After a dot or AS, a keyword is a label.
        let label = at.checked_sub(1).is_some_and(|before| self.kind(before) == Some(TokenKind::Dot))
            || (self.before(at, 1, "as") && self.state() != State::With);
        if word && !label && self.keyword(at) {
            return at + 1;
        }
        match self.state() {
            State::StartJoin | State::Item => return self.item(at),
            State::With
                if (self.is(at + 1, "as") || self.kind(at + 1) == Some(TokenKind::LeftParen))
                    && !self.is(at, "as")
                    && !self.is(at, "materialized") =>
            {
                self.places.ctes.push(at);
                self.places.aliases.push(at);
            }
            State::AfterItem
                if self.kind(at + 1) == Some(TokenKind::LeftParen) && !self.before(at, 1, "tablesample") =>
            {
                self.places.aliases.push(at);
            }
            State::Start => self.set(State::Operand),
            _ if label && self.kind(at + 1) == Some(TokenKind::LeftParen) && self.before(at, 1, "as") => {
                self.places.aliases.push(at);
            }
            _ => {}
        }
        at + 1
    }

    /// A relation's name, or a function's, in the place of a FROM item.
    fn item(&mut self, at: usize) -> usize {
        let mut last = at;
        while self.kind(last + 1) == Some(TokenKind::Dot)
            && matches!(self.kind(last + 2), Some(TokenKind::Word | TokenKind::Quoted))
        {
            last += 2;
        }
        if self.kind(last + 1) != Some(TokenKind::LeftParen) {
            self.places.relations.push(last);
        }
        self.set(State::AfterItem);
        last + 1
    }

    /// Follows a keyword that begins or ends a clause; false if it is none of those here.
    fn keyword(&mut self, at: usize) -> bool {
        let is = |word: &str| self.is(at, word);
        let state = self.state();
        let from = matches!(state, State::Item | State::AfterItem | State::Condition);
        let next = if is("select") || is("values") {
            State::Expressions
        } else if state == State::Operand || (state == State::Start && is("from")) {
            State::Operand
        } else if is("with") && matches!(state, State::Start | State::StartJoin) {
            State::With
        } else if is("union")
            || is("intersect")
            || is("except")
            || (state == State::Start && (is("all") || is("distinct")))
        {
            State::Start
        } else if is("table") && matches!(state, State::Start | State::StartJoin | State::With) {
            State::Item
        } else if is("from") {
            // IS [NOT] DISTINCT FROM, where IS isn't a column's name.
            let back = if self.before(at, 2, "not") { 3 } else { 2 };
            let column = at.checked_sub(back + 1).is_some_and(|dot| self.kind(dot) == Some(TokenKind::Dot));
            let distinct = self.before(at, 1, "distinct") && self.before(at, back, "is") && !column;
            let rows = self.before(at, 1, "rows") && state == State::AfterItem;
            if distinct {
                state
            } else if rows {
                // ROWS FROM (f(…), g(…)): functions only.
                self.places.relations.pop();
                self.set(State::AfterItem);
                return true;
            } else {
                State::Item
            }
        } else if (from && is("join"))
            || (matches!(state, State::Item | State::StartJoin) && (is("lateral") || is("only")))
        {
            State::Item
        } else if from && (is("on") || is("using")) {
            State::Condition
        } else if ENDS.iter().any(|word| is(word)) {
            State::Expressions
        } else {
            return false;
        };
        self.set(next);
        next != State::Operand
    }
}

/// Reserved words that end a FROM clause.
const ENDS: &[&str] = &["where", "group", "having", "window", "order", "limit", "offset", "fetch", "for", "returning"];
