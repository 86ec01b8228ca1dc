//! From facts to verdicts. The order of the steps is documented in `docs/yardstick.md`.

use std::{borrow::Cow, collections::HashMap};

use proofmark_model::{
    Artifact, Coverage, Digest, Evidence as Places, Finding, Judgement, Locator, Observation,
    Requirement, Verdict, Vulnerability, assessment::DataVersion, fact::Fact,
};

use crate::{
    catalogue::{Catalogue, Rule},
    excerpt::excerpt,
    expression::Frame,
    needs::{Ground, Need, Ranges},
    value::{Not, Subject, Value},
    view::{ImageView, KINDS, kind_of},
};

/// Findings listed per requirement; the reason says how many there are in all.
pub const FINDINGS: usize = 500;

/// Steps of evaluation per requirement. The built-in ones use less than a hundredth of it on large images.
pub const STEPS: u64 = 50_000_000;

/// Everything a judgement may rest on.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What was seen.
    pub observations: &'a [Observation],
    /// The tree it was seen in.
    pub artifacts: &'a [Artifact],
    /// The account of the image's bytes.
    pub coverage: &'a Coverage,
    /// Vulnerabilities matched to components.
    pub vulnerabilities: &'a [Vulnerability],
    /// Feeds the vulnerabilities come from; empty where there was no data.
    pub feeds: &'a [DataVersion],
    /// The date that validity is judged against, seconds since 1970-01-01 UTC: part of the input, never the
    /// clock. By default the newest time stamp of the image.
    pub as_of: i64,
}

/// Applies every requirement of every catalogue, in order.
///
/// Deterministic: depends on nothing but its arguments. Bounded: each requirement has [`STEPS`] steps; one
/// that needs more is inconclusive and says so.
#[must_use]
pub fn evaluate(catalogues: &[&Catalogue], evidence: &Evidence<'_>) -> Vec<Judgement> {
    let court = Court::new(evidence);
    catalogues.iter().flat_map(|c| c.requirements.iter().map(|rule| court.judge(c, rule))).collect()
}

/// What is the same for all requirements.
struct Court<'a> {
    kinds: Vec<Vec<Subject<'a>>>,
    image: ImageView,
    ranges: Ranges<'a>,
    as_of: i64,
    contents: HashMap<&'a Locator, Digest>,
    whole: Locator,
}

/// A fact that violates the requirement, or of which it stays open.
struct Found<'a> {
    subject: Subject<'a>,
    message: String,
}

impl<'a> Court<'a> {
    fn new(e: &Evidence<'a>) -> Self {
        let ranges = Ranges::new(Ground {
            observations: e.observations,
            artifacts: e.artifacts,
            coverage: e.coverage,
            feeds: e.feeds,
        });
        let mut kinds: Vec<Vec<Subject<'a>>> = KINDS.iter().map(|_| Vec::new()).collect();
        let (mut operating_system, mut device_class) = (None, None);
        for o in e.observations {
            if let Some(list) = kind_of(&o.fact).and_then(|k| kinds.get_mut(k)) {
                list.push(Subject::Fact(o));
            } else if let Fact::Trait(t) = &o.fact {
                match t.name.as_str() {
                    "operating-system" => operating_system = Some(t.value.clone()),
                    "device-class" => device_class = Some(t.value.clone()),
                    _ => {}
                }
            }
        }
        if let Some(last) = kinds.last_mut() {
            last.extend(e.vulnerabilities.iter().map(Subject::Vulnerability));
        }
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Self {
            image: ImageView {
                root_file_systems: i64::try_from(ranges.root_count()).unwrap_or(i64::MAX),
                start_up: ranges.completeness("start-up-graph", "what the image starts"),
                operating_system,
                device_class,
                size: number(e.coverage.total),
                opaque: number(e.coverage.opaque),
                feeds: i64::try_from(e.feeds.len()).unwrap_or(i64::MAX),
            },
            whole: e
                .artifacts
                .first()
                .map_or_else(|| Locator::image("image"), |a| a.locator.clone()),
            contents: e.artifacts.iter().filter_map(|a| Some((&a.locator, a.sha256?))).collect(),
            kinds,
            ranges,
            as_of: e.as_of,
        }
    }

    /// Values of the names in `common_scope`, in its order, with room for one more.
    fn names(&self) -> Vec<Value<'_>> {
        let mut names = Vec::with_capacity(self.kinds.len() + 6);
        names.push(Value::Record(Subject::Image(&self.image)));
        names.push(Value::Int(self.as_of));
        names.extend(self.kinds.iter().map(|k| Value::Records(k)));
        names
    }

    fn judge(&self, catalogue: &Catalogue, rule: &Rule) -> Judgement {
        let mut steps = STEPS;
        let (verdict, reason, found, examined) = self.decide(rule, &mut steps);
        let findings =
            found.iter().take(FINDINGS).map(|f| self.finding(rule, f)).collect::<Vec<_>>();
        Judgement {
            requirement: Requirement {
                yardstick: catalogue.id.clone(),
                id: rule.entry.id.get_ref().clone(),
                revision: rule.entry.revision,
                title: rule.entry.title.clone(),
                group: rule.group.clone(),
                severity: rule.entry.severity,
                sources: rule.entry.sources.clone(),
            },
            question: (verdict == Verdict::Inconclusive).then(|| rule.entry.question.clone()),
            verdict,
            reason,
            findings,
            examined,
        }
    }

    fn decide<'b>(
        &'b self,
        rule: &'b Rule,
        steps: &mut u64,
    ) -> (Verdict, String, Vec<Found<'b>>, u64) {
        let entry = &rule.entry;
        let mut frame = Frame { slots: self.names(), steps };
        // 1. Does it apply at all?
        let mut doubtful: Option<String> = None;
        match rule.applies.as_ref().map(|e| e.holds(&mut frame)) {
            None | Some(Ok(true)) => {}
            Some(Ok(false) | Err(Not::Applicable(_))) => {
                let text = entry.not_applicable.clone().unwrap_or_default();
                return match self.shortfall(rule, &[Need::RestOfImage]) {
                    None => (Verdict::NotApplicable, text, Vec::new(), 0),
                    Some(why) => (Verdict::Inconclusive, open_absence(&text, &why), Vec::new(), 0),
                };
            }
            Some(Err(why)) => {
                doubtful = Some(format!("It is not known whether this applies: {why}."))
            }
        }
        // 2. Each fact: violates it, leaves it open, or neither.
        let image = [Subject::Image(&self.image)];
        let subjects: &[Subject<'b>] = match rule.over {
            Some(kind) => self.kinds.get(kind).map_or(&[], Vec::as_slice),
            None => &image,
        };
        let (mut violations, mut open) = (Vec::new(), Vec::new());
        let mut examined: u64 = 0;
        let common = frame.slots.len();
        for subject in subjects {
            frame.slots.truncate(common);
            if rule.over.is_some() {
                frame.slots.push(Value::Record(*subject));
            }
            match self.one(rule, &mut frame) {
                One::Outside => {}
                One::Holds => examined += 1,
                One::Violates => {
                    examined += 1;
                    let message = rule.message.fill(&frame.slots);
                    violations.push(Found { subject: *subject, message });
                }
                One::Open(message) => {
                    examined += 1;
                    open.push(Found { subject: *subject, message });
                }
            }
            if *frame.steps == 0 {
                let reason = format!(
                    "Not decided within {STEPS} steps of evaluation; {examined} of {} facts were looked at.",
                    subjects.len()
                );
                return (Verdict::Inconclusive, reason, Vec::new(), examined);
            }
        }
        // 3. Enough of them?
        frame.slots.truncate(common);
        let mut enough = |n: usize| match &rule.fails_when {
            None => n > 0,
            Some(e) => {
                let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
                frame.slots.truncate(common);
                frame.slots.push(number(n));
                frame.slots.push(number(open.len()));
                frame.slots.push(Value::Int(i64::try_from(examined).unwrap_or(i64::MAX)));
                e.holds(&mut frame).unwrap_or(false)
            }
        };
        if enough(violations.len()) {
            let reason = sum_up(&violations, examined);
            return match doubtful {
                None => (Verdict::Fail, reason, violations, examined),
                Some(why) => (Verdict::Inconclusive, why, violations, examined),
            };
        }
        if enough(violations.len() + open.len()) {
            let reason = sum_up(&open, examined);
            return (Verdict::Inconclusive, reason, open, examined);
        }
        if let Some(why) = doubtful {
            return (Verdict::Inconclusive, why, Vec::new(), examined);
        }
        // 4. Nothing against it: is that worth anything?
        let nothing = examined == 0 && rule.over.is_some();
        let text = if nothing {
            entry.absent.as_ref().unwrap_or(&entry.pass).clone()
        } else if violations.len() + open.len() > 0 {
            let tolerated = violations.len() + open.len();
            format!("{} {tolerated} of {examined} do not hold it, which is tolerated.", entry.pass)
        } else {
            entry.pass.clone()
        };
        if let Some(why) = self.shortfall(rule, &entry.needs) {
            return (Verdict::Inconclusive, open_absence(&text, &why), Vec::new(), examined);
        }
        let verdict = if nothing { entry.none } else { Verdict::Pass };
        (verdict, text, Vec::new(), examined)
    }

    /// A fact under a rule.
    fn one<'b>(&'b self, rule: &'b Rule, frame: &mut Frame<'b, '_>) -> One {
        let scope = match rule.in_scope.as_ref().map(|e| e.holds(frame)) {
            None | Some(Ok(true)) => None,
            Some(Ok(false) | Err(Not::Applicable(_))) => return One::Outside,
            Some(Err(why)) => Some(why),
        };
        let mut unknown = None;
        match rule.fail.as_ref().map(|e| e.holds(frame)) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => {
                return match scope {
                    None => One::Violates,
                    Some(why) => One::Open(self.open(rule, frame, &why)),
                };
            }
            Some(Err(Not::Applicable(_))) => return One::Outside,
            Some(Err(why)) => unknown = Some(why),
        }
        match rule.inconclusive.as_ref().map(|e| e.holds(frame)) {
            Some(Ok(true)) => {
                let doubt = rule.doubt.as_ref().map(|d| d.fill(&frame.slots));
                return One::Open(doubt.unwrap_or_default());
            }
            Some(Err(Not::Applicable(_))) => return One::Outside,
            Some(Err(why)) => unknown = unknown.or(Some(why)),
            None | Some(Ok(false)) => {}
        }
        match unknown {
            Some(why) => One::Open(self.open(rule, frame, &why)),
            None if scope.is_some() => One::Outside,
            None => One::Holds,
        }
    }

    /// Sentence about a fact of which the requirement stays open by itself.
    fn open(&self, rule: &Rule, frame: &Frame<'_, '_>, why: &Not<'_>) -> String {
        let message = rule.message.fill(&frame.slots);
        format!("Not decided: {why}. The statement would be: {message}")
    }

    fn shortfall(&self, rule: &Rule, needs: &[Need]) -> Option<String> {
        needs.iter().find_map(|n| self.ranges.shortfall(*n, rule.entry.hides_in))
    }

    fn finding(&self, rule: &Rule, found: &Found<'_>) -> Finding {
        let evidence = self.places(rule, found.subject);
        let content = Locator { range: None, ..evidence.first().clone() };
        let entry = &rule.entry;
        Finding {
            id: Finding::id(entry.id.get_ref(), entry.revision, &evidence, &found.message),
            rule: entry.id.get_ref().clone(),
            revision: entry.revision,
            severity: entry.severity,
            strength: found.subject.strength(),
            message: found.message.clone(),
            content: self.contents.get(&content).copied(),
            excerpt: excerpt(found.subject),
            remedy: Some(entry.remedy.clone()),
            evidence,
        }
    }

    /// Where a fact was seen; for the image, where the facts named by `at` were, or the image itself.
    fn places(&self, rule: &Rule, subject: Subject<'_>) -> Places {
        if let Some(evidence) = subject.evidence() {
            return evidence.clone();
        }
        let mut steps = STEPS;
        let named = rule.at.as_ref().and_then(|e| e.value(&self.names(), &mut steps).ok());
        let subjects: Vec<Subject<'_>> = match named {
            Some(Value::Records(all)) => all.to_vec(),
            Some(Value::List(all)) => all
                .into_iter()
                .filter_map(|v| if let Value::Record(s) = v { Some(s) } else { None })
                .collect(),
            _ => Vec::new(),
        };
        let mut places = subjects.iter().filter_map(|s| Some(s.evidence()?.first().clone()));
        match places.next() {
            Some(first) => Places::with(first, places.take(20)),
            None => Places::one(self.whole.clone()),
        }
    }
}

/// What a rule says of one fact.
enum One {
    /// Not in scope.
    Outside,
    /// In scope, nothing against it.
    Holds,
    /// Violates the requirement.
    Violates,
    /// Open, because of this.
    Open(String),
}

/// The first sentence, and how many more there are.
fn sum_up(found: &[Found<'_>], examined: u64) -> String {
    let first = found.first().map_or("", |f| f.message.as_str());
    match found.len() {
        0 | 1 => first.to_owned(),
        n if n > FINDINGS => {
            format!("{first} So do {} more of {examined} looked at; {FINDINGS} are listed.", n - 1)
        }
        n => format!("{first} So do {} more of {examined} looked at.", n - 1),
    }
}

/// A statement of absence that does not hold up.
fn open_absence(text: &str, why: &str) -> String {
    let mut why = Cow::Borrowed(why);
    if !why.ends_with('.') {
        why.to_mut().push('.');
    }
    let mut upper = why.chars();
    let first: String = upper.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{} In what could be read: {text}", upper.as_str())
}
