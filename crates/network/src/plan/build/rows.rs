//! Limits on shares, on vendors, and on what would complete a vendor's cut.

use std::collections::{BTreeMap, BTreeSet};

use super::{Builder, ChoiceInfo, JobInfo, Program};
use crate::Error;
use crate::exposure::{Weight, carries, disjoint::Cut};
use crate::inventory::{Inventory, Sym};
use crate::plan::instance::{Instance, MAX_SETS, Row};
use crate::policy::{Kind, Rule, unit};

/// A rule that asks for paths free of any one vendor.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Rule id.
    pub rule: String,
    /// Index of the rule in the policy.
    pub index: u32,
    /// Period from whose end it holds.
    pub period: usize,
    /// Sites concerned.
    pub sites: Vec<bool>,
}

/// What a row limits: failing units, or the units of some vendors.
struct Limited {
    name: String,
    vendors: Option<Vec<Option<Sym>>>,
    cap: f64,
}

impl Builder<'_> {
    /// Sets that a rule limits.
    fn limited(&self, rule: &Rule, choices: &[ChoiceInfo]) -> Vec<Limited> {
        if rule.kind == Kind::ShareCap {
            return vec![Limited {
                name: String::new(),
                vendors: None,
                cap: rule.cap.unwrap_or(1.0),
            }];
        }
        let mut vendors: BTreeSet<Option<Sym>> = (0..self.inv.devices.len())
            .filter(|d| self.b.in_scope(rule, *d))
            .map(|d| self.inv.devices[d].vendor)
            .collect();
        vendors.extend(choices.iter().map(|c| c.radio_vendor).filter(Option::is_some));
        let list: Vec<Option<Sym>> = vendors.into_iter().take(8).collect();
        let n = rule.n.unwrap_or(2).saturating_sub(1);
        (1u32..1 << list.len())
            .filter(|mask| mask.count_ones() == n)
            .map(|mask| {
                let of: Vec<Option<Sym>> =
                    (0..list.len()).filter(|k| mask & (1 << k) != 0).map(|k| list[k]).collect();
                Limited {
                    name: of.iter().map(|v| self.inv.text(*v)).collect::<Vec<_>>().join(" and "),
                    vendors: Some(of),
                    cap: rule.ceiling.unwrap_or(0.95),
                }
            })
            .collect()
    }

    /// Adds sets and rows for a share cap or for a number of vendors.
    ///
    /// A site with several jobs counts with each of them: the row may ask for a little more than
    /// the rule, never for less.
    pub(super) fn cap(
        &mut self,
        rule: &Rule,
        period: usize,
        p: &mut Instance,
        jobs: &[JobInfo],
        choices: &[ChoiceInfo],
        rows: &mut Vec<String>,
    ) -> Result<(), Error> {
        let (b, inv, t) = (self.b, self.inv, p.periods);
        let index = b.policy.rules.iter().position(|r| r.id == rule.id).unwrap_or(0) as u32;
        let sites = inv.sites.len();
        let mut scope = vec![false; sites];
        for d in 0..inv.devices.len() {
            scope[inv.devices[d].site as usize] |= b.in_scope(rule, d);
        }
        let mut in_job = vec![false; inv.devices.len()];
        for d in jobs.iter().flat_map(|j| j.radio.iter().chain(&j.other)) {
            in_job[*d as usize] = true;
        }
        let by_region = rule.area.as_deref() == Some("region");
        let area = |s: usize| if by_region { inv.sites[s].region } else { None };
        let units: Vec<Weight> = match rule.kind {
            Kind::ShareCap => rule.units.iter().filter_map(|u| unit(u)).collect(),
            _ => vec![rule.units.first().and_then(|u| unit(u)).unwrap_or(Weight::Sites)],
        };
        for weight in units {
            let w = |s: usize| if scope[s] { weight.of(&inv.sites[s]).unwrap_or(0.0) } else { 0.0 };
            let mut areas: BTreeMap<Option<Sym>, f64> = BTreeMap::new();
            for s in 0..sites {
                *areas.entry(area(s)).or_default() += w(s);
            }
            for limited in self.limited(rule, choices) {
                // Whether a unit is in the set, given whether it goes and the vendor it has then.
                let inside = |d: u32, gone: bool, vendor: Option<Sym>| {
                    b.in_scope(rule, d as usize)
                        && match &limited.vendors {
                            None => !gone && b.hits(rule, d as usize, self.setup.unknown_fails),
                            Some(list) => list.contains(&vendor),
                        }
                };
                let vendor = |d: u32| inv.devices[d as usize].vendor;
                // What is in no job stays as it is.
                let mut fixed = vec![false; sites];
                for d in (0..inv.devices.len() as u32).filter(|d| !in_job[*d as usize]) {
                    fixed[inv.devices[d as usize].site as usize] |= inside(d, false, vendor(d));
                }
                for (a, total) in &areas {
                    let set = p.weights.len();
                    if set >= MAX_SETS {
                        return Err(Error::Rule {
                            policy: b.policy.id.clone(),
                            rule: rule.id.clone(),
                            reason: format!(
                                "more than {MAX_SETS} shares to limit; use the area `network` or fewer vendors"
                            ),
                        });
                    }
                    let bit = 1u64 << set;
                    let mut list = vec![0.0; p.jobs.len()];
                    for (j, info) in jobs.iter().enumerate() {
                        let s = info.site as usize;
                        if area(s) != *a || fixed[s] {
                            continue;
                        }
                        let now = info
                            .radio
                            .iter()
                            .chain(&info.other)
                            .any(|d| inside(*d, false, vendor(*d)));
                        let (first, count) = (p.jobs[j].first as usize, p.jobs[j].count as usize);
                        let mut any = now;
                        for (c, x) in choices[first..first + count]
                            .iter()
                            .zip(&mut p.choices[first..first + count])
                        {
                            let after = |list: &[u32], does: bool, new: Option<Sym>| {
                                let then =
                                    |d: u32| if does { new.or(vendor(d)) } else { vendor(d) };
                                list.iter().any(|d| inside(*d, does, then(*d)))
                            };
                            if after(&info.radio, c.radio, c.radio_vendor)
                                || after(&info.other, c.other, c.other_vendor)
                            {
                                x.member |= bit;
                                any = true;
                            }
                        }
                        if now {
                            p.jobs[j].member |= bit;
                        }
                        if any {
                            list[j] = w(s);
                        }
                    }
                    let constant: f64 =
                        (0..sites).filter(|s| fixed[*s] && area(*s) == *a).map(w).sum();
                    p.weights.push(list);
                    // Failing units only go away: the first date is enough. A vendor's share can
                    // rise again.
                    let until = if limited.vendors.is_none() { period + 1 } else { t };
                    for s in period..until {
                        p.rows.push(Row {
                            set: set as u32,
                            coefficient: (0..t).map(|k| f64::from(u8::from(k == s))).collect(),
                            limit: limited.cap * total - constant,
                            rule: index,
                        });
                        let what = [limited.name.as_str(), &format!("{weight:?}").to_lowercase()]
                            .iter()
                            .filter(|x| !x.is_empty())
                            .copied()
                            .collect::<Vec<_>>()
                            .join(", ");
                        let place = if a.is_some() {
                            format!(" in {}", inv.text(*a))
                        } else {
                            String::new()
                        };
                        rows.push(format!(
                            "{}: {what}{place} at most {:.0} %, period {}",
                            rule.id,
                            100.0 * limited.cap,
                            s + 1
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Forbids what completes each cut: of the sites that a vendor would hold, one has to be another's
/// (see the module on disjoint paths). Cuts without a site that can change stay.
pub(super) fn forbid(x: &mut Program, inv: &Inventory, place: &Place, cuts: &[Cut]) -> usize {
    let p = &mut x.instance;
    let by_site = inv.devices_by_site();
    let mut jobs_at: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (j, info) in x.jobs.iter().enumerate() {
        // Only routers and optical units decide who holds a site.
        if info.other.iter().any(|d| carries(&inv.devices[*d as usize])) {
            jobs_at.entry(info.site).or_default().push(j);
        }
    }
    let mut done: BTreeSet<(Sym, Vec<u32>)> = BTreeSet::new();
    let mut added = 0;
    for cut in cuts {
        let set = p.weights.len();
        if set >= MAX_SETS {
            break;
        }
        if !done.insert((cut.vendor, cut.sites.clone())) {
            continue;
        }
        let bit = 1u64 << set;
        let mut list = vec![0.0; p.jobs.len()];
        let mut changeable = 0u32;
        for site in &cut.sites {
            // With several jobs at a site the first that can keep it from being held stands for it.
            let own = by_site.of(*site as usize);
            for &j in jobs_at.get(site).into_iter().flatten() {
                let info = &x.jobs[j];
                let held = |c: Option<&ChoiceInfo>| {
                    own.iter().filter(|d| carries(&inv.devices[**d as usize])).all(|d| {
                        let old = inv.devices[*d as usize].vendor;
                        let new = c
                            .filter(|c| c.other && info.other.contains(d))
                            .and_then(|c| c.other_vendor);
                        new.or(old) == Some(cut.vendor)
                    })
                };
                let job = &mut p.jobs[j];
                let range = job.first as usize..(job.first + job.count) as usize;
                let keeps = job.keep.is_finite();
                let free = range.clone().any(|k| !held(Some(&x.choices[k])));
                if !free && (held(None) || !keeps) {
                    continue;
                }
                if held(None) {
                    job.member |= bit;
                }
                for k in range {
                    if held(Some(&x.choices[k])) {
                        p.choices[k].member |= bit;
                    }
                }
                list[j] = 1.0;
                changeable += 1;
                break;
            }
        }
        if changeable == 0 {
            continue;
        }
        p.weights.push(list);
        let t = p.periods;
        // At the end of the plan: on the way there both vendors may stand side by side.
        p.rows.push(Row {
            set: set as u32,
            coefficient: (0..t).map(|k| f64::from(u8::from(k + 1 == t))).collect(),
            limit: f64::from(changeable - 1),
            rule: place.index,
        });
        x.rows.push(format!(
            "{}: paths of {} that {} cannot cut, period {t}",
            place.rule,
            inv.sites[cut.site as usize].name,
            inv.names.get(cut.vendor)
        ));
        added += 1;
    }
    added
}
