//! From facts to verdicts. The order of the steps is documented in `docs/yardstick.md`.

use std::collections::{BTreeMap, HashMap, HashSet};

use proofmark_model::{
    Artifact, Coverage, Digest, Evidence as Places, Finding, Judgement, Locator, Observation,
    Requirement, Verdict, Vulnerability, assessment::DataVersion, fact::Fact,
};

use crate::{
    catalogue::{Catalogue, Checked, Rule},
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
    check: &'a Checked,
    why: Why,
}

/// Which sentence a finding gets; it is made only for those that are listed.
enum Why {
    /// The message of the check.
    Violates,
    /// The doubt of the check.
    Doubt,
    /// The message, but not decided because of this.
    Unknown(String),
}

/// What the checks of a requirement found.
#[derive(Default)]
struct Sum<'a> {
    violations: Vec<Found<'a>>,
    open: Vec<Found<'a>>,
    tolerated: usize,
    /// Which facts were in scope of some check, by kind and position.
    seen: BTreeMap<Option<usize>, Vec<bool>>,
}

impl Sum<'_> {
    /// Distinct facts that were in scope.
    fn examined(&self) -> u64 {
        let count = self.seen.values().flatten().filter(|seen| **seen).count();
        u64::try_from(count).unwrap_or(u64::MAX)
    }
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
        let mut uniform_permissions = false;
        let peers = Peers::new(e.observations);
        for o in e.observations {
            if let Some(list) = kind_of(&o.fact).and_then(|k| kinds.get_mut(k)) {
                list.push(Subject::Fact(o, peers.of(o)));
            } else if let Fact::Trait(t) = &o.fact {
                match t.name.as_str() {
                    "operating-system" => operating_system = Some(t.value.clone()),
                    "uniform-permissions" => uniform_permissions = true,
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
                uniform_permissions,
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
                return match self.absence_shortfall(rule) {
                    None => (Verdict::NotApplicable, text, Vec::new(), 0),
                    Some(why) => (Verdict::Inconclusive, open_absence(&text, &why), Vec::new(), 0),
                };
            }
            Some(Err(why)) => {
                doubtful = Some(format!("It is not known whether this applies: {why}."))
            }
        }
        // 2. and 3. Each check: which facts violate it, of which it stays open, and whether that is enough.
        let common = frame.slots.len();
        let mut sum = Sum::default();
        for check in &rule.checks {
            frame.slots.truncate(common);
            self.check(check, &mut frame, &mut sum);
            if *frame.steps == 0 {
                let reason = format!(
                    "Not decided within {STEPS} steps of evaluation; {} facts were looked at.",
                    sum.examined()
                );
                return (Verdict::Inconclusive, reason, Vec::new(), sum.examined());
            }
        }
        let examined = sum.examined();
        let Sum { violations, open, tolerated, .. } = sum;
        if !violations.is_empty() {
            let reason = self.sum_up(&violations, examined);
            return match doubtful {
                None => (Verdict::Fail, reason, violations, examined),
                Some(why) => (Verdict::Inconclusive, why, violations, examined),
            };
        }
        if !open.is_empty() {
            return (Verdict::Inconclusive, self.sum_up(&open, examined), open, examined);
        }
        if let Some(why) = doubtful {
            return (Verdict::Inconclusive, why, Vec::new(), examined);
        }
        // 4. Nothing against it: is that worth anything?
        let nothing = examined == 0;
        let text = if nothing {
            entry.absent.as_ref().unwrap_or(&entry.pass).clone()
        } else if tolerated > 0 {
            format!("{} Violations within the tolerated share: {tolerated}.", entry.pass)
        } else {
            entry.pass.clone()
        };
        if let Some(why) = self.shortfall(rule, &entry.needs) {
            return (Verdict::Inconclusive, open_absence(&text, &why), Vec::new(), examined);
        }
        let verdict = if nothing { entry.none } else { Verdict::Pass };
        (verdict, text, Vec::new(), examined)
    }

    /// One check: adds what it found to `sum`.
    fn check<'b>(&'b self, check: &'b Checked, frame: &mut Frame<'b, '_>, sum: &mut Sum<'b>) {
        let image = [Subject::Image(&self.image)];
        let subjects: &[Subject<'b>] = match check.over {
            Some(kind) => self.kinds.get(kind).map_or(&[], Vec::as_slice),
            None => &image,
        };
        let common = frame.slots.len();
        let (mut violations, mut open, mut examined) = (Vec::new(), Vec::new(), 0);
        let seen = sum.seen.entry(check.over).or_default();
        seen.resize(subjects.len(), false);
        for (subject, seen) in subjects.iter().zip(seen) {
            frame.slots.truncate(common);
            if check.over.is_some() {
                frame.slots.push(Value::Record(*subject));
            }
            match self.one(check, frame) {
                One::Outside => continue,
                One::Holds => {}
                One::Found(why @ Why::Violates) => {
                    violations.push(Found { subject: *subject, check, why });
                }
                One::Found(why) => open.push(Found { subject: *subject, check, why }),
            }
            examined += 1;
            *seen = true;
            if *frame.steps == 0 {
                break;
            }
        }
        let mut enough = |n: usize| match &check.fails_when {
            _ if n == 0 => false,
            None => true,
            Some(e) => {
                let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
                frame.slots.truncate(common);
                frame.slots.extend([number(n), number(open.len()), number(examined)]);
                e.holds(frame).unwrap_or(false)
            }
        };
        if enough(violations.len()) {
            sum.violations.extend(violations);
        } else if enough(violations.len() + open.len()) {
            sum.open.extend(open);
        } else {
            sum.tolerated += violations.len() + open.len();
        }
    }

    /// A fact under a check.
    fn one<'b>(&'b self, rule: &'b Checked, frame: &mut Frame<'b, '_>) -> One {
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
                    None => One::Found(Why::Violates),
                    Some(why) => One::Found(Why::Unknown(why.to_string())),
                };
            }
            Some(Err(Not::Applicable(_))) => return One::Outside,
            Some(Err(why)) => unknown = Some(why),
        }
        match rule.inconclusive.as_ref().map(|e| e.holds(frame)) {
            Some(Ok(true)) => return One::Found(Why::Doubt),
            Some(Err(Not::Applicable(_))) => return One::Outside,
            Some(Err(why)) => unknown = unknown.or(Some(why)),
            None | Some(Ok(false)) => {}
        }
        match unknown {
            Some(why) => One::Found(Why::Unknown(why.to_string())),
            None if scope.is_some() => One::Outside,
            None => One::Holds,
        }
    }

    /// The sentence about what was found.
    fn sentence(&self, found: &Found<'_>) -> String {
        let mut names = self.names();
        if found.check.over.is_some() {
            names.push(Value::Record(found.subject));
        }
        let message = || found.check.message.fill(&names);
        match &found.why {
            Why::Violates => message(),
            Why::Doubt => found.check.doubt.as_ref().map_or_else(message, |d| d.fill(&names)),
            Why::Unknown(why) => {
                format!("Not decided: {why}. The statement would be: {}", message())
            }
        }
    }

    /// The first sentence, and how many more there are.
    fn sum_up(&self, found: &[Found<'_>], examined: u64) -> String {
        let first = found.first().map(|f| self.sentence(f)).unwrap_or_default();
        match found.len() {
            0 | 1 => first,
            n if n > FINDINGS => format!(
                "{first} And {} more, of {examined} facts looked at; {FINDINGS} are listed.",
                n - 1
            ),
            n => format!("{first} And {} more, of {examined} facts looked at.", n - 1),
        }
    }

    /// What stands against believing that the precondition of `rule` is absent: bytes that could not be read;
    /// and, where there is a root file system, the needs that are about it.
    fn absence_shortfall(&self, rule: &Rule) -> Option<String> {
        let about_roots = [Need::RootFileSystem, Need::StartUp];
        let needs: Vec<Need> = (rule.entry.needs.iter().copied())
            .filter(|n| self.image.root_file_systems > 0 && about_roots.contains(n))
            .chain([Need::RestOfImage])
            .collect();
        self.shortfall(rule, &needs)
    }

    fn shortfall(&self, rule: &Rule, needs: &[Need]) -> Option<String> {
        needs.iter().find_map(|n| self.ranges.shortfall(*n, rule.entry.hides_in))
    }

    fn finding(&self, rule: &Rule, found: &Found<'_>) -> Finding {
        let evidence = self.places(found);
        let content = Locator { range: None, ..evidence.first().clone() };
        let entry = &rule.entry;
        let message = self.sentence(found);
        Finding {
            id: Finding::id(entry.id.get_ref(), entry.revision, &evidence, &message),
            rule: entry.id.get_ref().clone(),
            revision: entry.revision,
            severity: entry.severity,
            strength: found.subject.strength(),
            message,
            content: self.contents.get(&content).copied(),
            excerpt: excerpt(found.subject),
            remedy: Some(entry.remedy.clone()),
            evidence,
        }
    }

    /// Where a fact was seen; for the image, where the facts named by `at` were, or the image itself.
    fn places(&self, found: &Found<'_>) -> Places {
        if let Some(evidence) = found.subject.evidence() {
            return evidence.clone();
        }
        let mut steps = STEPS;
        let named = found.check.at.as_ref().and_then(|e| e.value(&self.names(), &mut steps).ok());
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

/// How many like it a fact has; counted once, so that no rule has to compare all with all.
struct Peers<'a> {
    versions: HashMap<&'a str, HashSet<&'a str>>,
    users: HashMap<(Locator, u32), HashSet<&'a str>>,
    files: HashMap<Locator, u32>,
}

impl<'a> Peers<'a> {
    fn new(observations: &'a [Observation]) -> Self {
        let mut all =
            Self { versions: HashMap::new(), users: HashMap::new(), files: HashMap::new() };
        for o in observations {
            match &o.fact {
                Fact::Component(c)
                    if c.relation != "names" && c.relation != "dynamically-needs" =>
                {
                    *all.files.entry(store(o)).or_default() += 1;
                    if let Some(version) = &c.component.version {
                        all.versions.entry(&c.component.name).or_default().insert(version);
                    }
                }
                Fact::Account(a) => {
                    if let Some(uid) = a.uid {
                        all.users.entry((store(o), uid)).or_default().insert(&a.user);
                    }
                }
                _ => {}
            }
        }
        all
    }

    fn of(&self, o: &Observation) -> u32 {
        let n = match &o.fact {
            Fact::Component(c) => {
                self.versions.get(c.component.name.as_str()).map_or(0, HashSet::len)
            }
            Fact::Executable(_) => {
                return self.files.get(&store(o)).copied().unwrap_or_default();
            }
            Fact::Account(a) => a
                .uid
                .and_then(|uid| self.users.get(&(store(o), uid)))
                .map_or(0, |names| names.len().saturating_sub(1)),
            _ => 0,
        };
        u32::try_from(n).unwrap_or(u32::MAX)
    }
}

/// The file a fact was seen in first.
fn store(o: &Observation) -> Locator {
    Locator { range: None, ..o.evidence.first().clone() }
}

/// What a check says of one fact.
enum One {
    /// Not in scope.
    Outside,
    /// In scope, nothing against it.
    Holds,
    /// Violates the requirement, or leaves it open.
    Found(Why),
}

/// A statement of absence that does not hold up.
fn open_absence(text: &str, why: &str) -> String {
    format!("Missing: {}. In what could be read: {text}", why.trim_end_matches('.'))
}
