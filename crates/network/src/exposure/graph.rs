//! The graph of sites, seen from a virtual root that is joined to every core site.
//!
//! In an undirected graph a vertex lies on every path from u to the root exactly when it is a cut
//! vertex between them. One depth-first search therefore gives the dominator tree (each vertex hangs
//! under the cut vertex at the top of its block), the blocks, articulation points and bridges, all
//! in time linear in the links. Searches keep their own stack; nothing recurses.

use crate::inventory::Inventory;

/// No vertex.
pub const NONE: u32 = u32::MAX;

/// Adjacency of sites in a flat layout; parallel links are kept.
#[derive(Debug, Clone)]
pub struct Graph {
    start: Vec<u32>,
    /// (neighbour, link)
    next: Vec<(u32, u32)>,
    /// Kilometres per link; an unknown length counts as one.
    length: Vec<f64>,
    /// Sites where paths end.
    pub roots: Vec<u32>,
}

/// What the depth-first search from the virtual root found.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Immediate dominator of each site; [`NONE`] for a site directly under the virtual root and
    /// for one that cannot be reached.
    pub dominator: Vec<u32>,
    /// Whether the site is reached from a core site.
    pub reached: Vec<bool>,
    /// Block in which the site hangs under its dominator; [`NONE`] if not reached.
    pub block: Vec<u32>,
    /// For each block the site at its top; [`NONE`] is the virtual root.
    pub top: Vec<u32>,
    /// Sites by discovery: a dominator stands before what it dominates.
    pub order: Vec<u32>,
}

impl Graph {
    /// The graph of `inventory`; `roots` are the core sites.
    #[must_use]
    pub fn new(inventory: &Inventory, roots: Vec<u32>) -> Self {
        let pairs: Vec<(u32, u32)> = inventory.links.iter().map(|l| (l.a, l.b)).collect();
        let length = inventory.links.iter().map(|l| l.length_km.unwrap_or(1.0)).collect();
        Self::from_pairs(inventory.sites.len(), &pairs, length, roots)
    }

    /// The graph over `n` sites with the given links.
    #[must_use]
    pub fn from_pairs(n: usize, pairs: &[(u32, u32)], length: Vec<f64>, roots: Vec<u32>) -> Self {
        let mut start = vec![0u32; n + 1];
        for &(a, b) in pairs {
            start[a as usize + 1] += 1;
            start[b as usize + 1] += 1;
        }
        for i in 0..n {
            start[i + 1] += start[i];
        }
        let mut at = start.clone();
        let mut next = vec![(0, 0); pairs.len() * 2];
        for (link, &(a, b)) in (0u32..).zip(pairs) {
            for (from, to) in [(a, b), (b, a)] {
                next[at[from as usize] as usize] = (to, link);
                at[from as usize] += 1;
            }
        }
        Self { start, next, length, roots }
    }

    /// Number of sites.
    #[must_use]
    pub fn len(&self) -> usize {
        self.start.len() - 1
    }

    /// Whether there is no site.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Neighbours of a site with the link that leads there.
    #[must_use]
    pub fn neighbours(&self, v: u32) -> &[(u32, u32)] {
        &self.next[self.start[v as usize] as usize..self.start[v as usize + 1] as usize]
    }

    /// Dominators and blocks as seen from the virtual root.
    #[must_use]
    pub fn tree(&self) -> Tree {
        let n = self.len();
        let root = n as u32;
        let mut number = vec![0u32; n + 1];
        let mut low = vec![0u32; n + 1];
        let mut tree = Tree {
            dominator: vec![NONE; n],
            reached: vec![false; n],
            block: vec![NONE; n],
            top: Vec::new(),
            order: Vec::with_capacity(n),
        };
        let mut is_root = vec![false; n];
        for &r in &self.roots {
            is_root[r as usize] = true;
        }
        // The root's links have numbers above all others.
        let root_links: Vec<(u32, u32)> = self
            .roots
            .iter()
            .enumerate()
            .map(|(i, r)| (*r, (self.length.len() + i) as u32))
            .collect();
        let mut root_link = vec![NONE; n];
        for (r, l) in &root_links {
            root_link[*r as usize] = *l;
        }
        let mut time = 1;
        number[n] = time;
        low[n] = time;
        let mut open: Vec<u32> = Vec::new();
        // (site, link it was entered by, next neighbour to look at)
        let mut path: Vec<(u32, u32, usize)> = vec![(root, NONE, 0)];
        while let Some(&mut (v, entered, ref mut i)) = path.last_mut() {
            let near: &[(u32, u32)] = if v == root { &root_links } else { self.neighbours(v) };
            // A core site has one more link, to the virtual root, behind the others.
            let step = match near.get(*i) {
                Some(s) => Some(*s),
                None if *i == near.len() && v != root && is_root[v as usize] => {
                    Some((root, root_link[v as usize]))
                }
                None => None,
            };
            *i += 1;
            if let Some((w, link)) = step {
                if link == entered {
                    continue;
                }
                if number[w as usize] == 0 {
                    time += 1;
                    number[w as usize] = time;
                    low[w as usize] = time;
                    tree.reached[w as usize] = true;
                    tree.order.push(w);
                    open.push(w);
                    path.push((w, link, 0));
                } else {
                    low[v as usize] = low[v as usize].min(number[w as usize]);
                }
                continue;
            }
            path.pop();
            let Some(&(parent, _, _)) = path.last() else { break };
            low[parent as usize] = low[parent as usize].min(low[v as usize]);
            if low[v as usize] >= number[parent as usize] {
                let block = tree.top.len() as u32;
                tree.top.push(if parent == root { NONE } else { parent });
                while let Some(w) = open.pop() {
                    tree.dominator[w as usize] = if parent == root { NONE } else { parent };
                    tree.block[w as usize] = block;
                    if w == v {
                        break;
                    }
                }
            }
        }
        tree
    }

    /// Articulation points and bridges of the graph itself, without the virtual root.
    #[must_use]
    pub fn cuts(&self) -> (Vec<u32>, Vec<u32>) {
        let n = self.len();
        let mut number = vec![0u32; n];
        let mut low = vec![0u32; n];
        let mut point = vec![false; n];
        let mut bridges = Vec::new();
        let mut time = 0;
        for s in 0..n as u32 {
            if number[s as usize] != 0 {
                continue;
            }
            let mut children = 0;
            time += 1;
            number[s as usize] = time;
            low[s as usize] = time;
            let mut path: Vec<(u32, u32, usize)> = vec![(s, NONE, 0)];
            while let Some(&mut (v, entered, ref mut i)) = path.last_mut() {
                if let Some(&(w, link)) = self.neighbours(v).get(*i) {
                    *i += 1;
                    if link == entered {
                        continue;
                    }
                    if number[w as usize] == 0 {
                        time += 1;
                        number[w as usize] = time;
                        low[w as usize] = time;
                        path.push((w, link, 0));
                    } else {
                        low[v as usize] = low[v as usize].min(number[w as usize]);
                    }
                    continue;
                }
                path.pop();
                let Some(&(parent, _, _)) = path.last() else { break };
                low[parent as usize] = low[parent as usize].min(low[v as usize]);
                if low[v as usize] > number[parent as usize] {
                    bridges.push(entered);
                }
                if parent == s {
                    children += 1;
                } else if low[v as usize] >= number[parent as usize] {
                    point[parent as usize] = true;
                }
            }
            point[s as usize] = children > 1;
        }
        bridges.sort_unstable();
        ((0..n as u32).filter(|v| point[*v as usize]).collect(), bridges)
    }

    /// For each site the next site on its shortest path (by length, ties by index) to a core site.
    #[must_use]
    pub fn shortest(&self) -> Vec<u32> {
        use std::cmp::Reverse;
        use std::collections::BinaryHeap;
        let n = self.len();
        let mut toward = vec![NONE; n];
        // Lengths as whole millimetres: exact, ordered, and far below the limit.
        let mm = |link: u32| (self.length[link as usize].clamp(0.0, 1e6) * 1e6) as u64;
        let mut far = vec![u64::MAX; n];
        let mut heap = BinaryHeap::new();
        for &r in &self.roots {
            far[r as usize] = 0;
            heap.push(Reverse((0u64, r, NONE)));
        }
        while let Some(Reverse((d, v, from))) = heap.pop() {
            if far[v as usize] < d || (from != NONE && toward[v as usize] != NONE) {
                continue;
            }
            toward[v as usize] = from;
            for &(w, link) in self.neighbours(v) {
                let e = d + mm(link);
                if e < far[w as usize] {
                    far[w as usize] = e;
                    toward[w as usize] = NONE;
                    heap.push(Reverse((e, w, v)));
                }
            }
        }
        toward
    }

    /// Sites that reach a core site when those with `down` have failed.
    #[must_use]
    pub fn reach(&self, down: &[bool]) -> Vec<bool> {
        let mut seen = vec![false; self.len()];
        let mut todo: Vec<u32> = Vec::new();
        for &r in &self.roots {
            if !down[r as usize] && !seen[r as usize] {
                seen[r as usize] = true;
                todo.push(r);
            }
        }
        while let Some(v) = todo.pop() {
            for &(w, _) in self.neighbours(v) {
                if !seen[w as usize] && !down[w as usize] {
                    seen[w as usize] = true;
                    todo.push(w);
                }
            }
        }
        seen
    }
}

impl Tree {
    /// Sum of `weight` over each site and everything it dominates.
    #[must_use]
    pub fn subtree(&self, weight: &[f64]) -> Vec<f64> {
        let mut sum = weight.to_vec();
        for &v in self.order.iter().rev() {
            let d = self.dominator[v as usize];
            if d != NONE {
                sum[d as usize] += sum[v as usize];
            }
        }
        sum
    }

    /// For each site, whether it or a dominator has the mark.
    #[must_use]
    pub fn marked_above(&self, mark: &[bool]) -> Vec<bool> {
        let mut out = mark.to_vec();
        // A dominator is discovered before what it dominates.
        for &v in &self.order {
            let d = self.dominator[v as usize];
            out[v as usize] |= d != NONE && out[d as usize];
        }
        out
    }

    /// For each site, whether a site with the mark lies on some simple path from it to a core
    /// site: some site of the blocks between it and the virtual root has the mark.
    #[must_use]
    pub fn marked_around(&self, mark: &[bool]) -> Vec<bool> {
        let mut block = vec![false; self.top.len()];
        for (v, b) in self.block.iter().enumerate() {
            if *b != NONE {
                block[*b as usize] |= mark[v];
            }
        }
        for (b, top) in self.top.iter().enumerate() {
            block[b] |= *top != NONE && mark[*top as usize];
        }
        let mut out = mark.to_vec();
        let mut path = block.clone();
        // Blocks above are complete first when sites are taken by discovery.
        for &v in &self.order {
            let b = self.block[v as usize];
            if b == NONE {
                continue;
            }
            let d = self.top[b as usize];
            if d != NONE {
                let up = self.block[d as usize];
                path[b as usize] |= up != NONE && path[up as usize];
            }
            out[v as usize] |= path[b as usize];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small linear congruential generator: tests need no more.
    fn random(seed: &mut u64) -> u32 {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (*seed >> 33) as u32
    }

    fn simple_path_through(
        g: &Graph,
        at: u32,
        seen: &mut Vec<bool>,
        hit: bool,
        mark: &[bool],
    ) -> bool {
        let hit = hit || mark[at as usize];
        if g.roots.contains(&at) && hit {
            return true;
        }
        seen[at as usize] = true;
        // Paths end at the virtual root, so they may go on through a core site.
        let found = g
            .neighbours(at)
            .iter()
            .any(|&(w, _)| !seen[w as usize] && simple_path_through(g, w, seen, hit, mark));
        seen[at as usize] = false;
        found
    }

    #[test]
    fn agrees_with_removing_and_enumerating() {
        let mut seed = 7;
        for case in 0..400 {
            let n = 3 + random(&mut seed) % 7;
            let m = random(&mut seed) % (2 * n);
            let pairs: Vec<(u32, u32)> = (0..m)
                .map(|_| (random(&mut seed) % n, random(&mut seed) % n))
                .filter(|(a, b)| a != b)
                .collect();
            let mut roots: Vec<u32> =
                (0..1 + random(&mut seed) % 2).map(|_| random(&mut seed) % n).collect();
            roots.sort_unstable();
            roots.dedup();
            let g = Graph::from_pairs(n as usize, &pairs, vec![1.0; pairs.len()], roots);
            let t = g.tree();
            let all = g.reach(&vec![false; n as usize]);
            assert_eq!(t.reached, all, "case {case}");
            for v in 0..n {
                let mut mark = vec![false; n as usize];
                mark[v as usize] = true;
                let left = g.reach(&mark);
                let below = t.marked_above(&mark);
                let around = t.marked_around(&mark);
                for u in 0..n {
                    if all[u as usize] {
                        assert_eq!(
                            below[u as usize], !left[u as usize],
                            "case {case}: {v} over {u}"
                        );
                        let path =
                            simple_path_through(&g, u, &mut vec![false; n as usize], false, &mark);
                        assert_eq!(around[u as usize], path, "case {case}: {v} around {u}");
                    }
                }
            }
            // Articulation points and bridges by counting components.
            let components = |skip_v: u32, skip_e: usize| {
                let mut label: Vec<u32> = (0..n).collect();
                for _ in 0..n {
                    for (i, &(a, b)) in pairs.iter().enumerate() {
                        if i != skip_e && a != skip_v && b != skip_v {
                            let m = label[a as usize].min(label[b as usize]);
                            label[a as usize] = m;
                            label[b as usize] = m;
                        }
                    }
                }
                (0..n).filter(|v| *v != skip_v && label[*v as usize] == *v).count()
            };
            let (points, bridges) = g.cuts();
            let base = components(NONE, usize::MAX);
            for v in 0..n {
                let alone = g.neighbours(v).is_empty();
                let cut = !alone && components(v, usize::MAX) > base;
                assert_eq!(points.contains(&v), cut, "case {case}: point {v}");
            }
            for e in 0..pairs.len() {
                assert_eq!(
                    bridges.contains(&(e as u32)),
                    components(NONE, e) > base,
                    "case {case}: bridge {e}"
                );
            }
        }
    }

    #[test]
    fn shortest_paths_lead_home() {
        let g = Graph::from_pairs(
            4,
            &[(0, 1), (1, 2), (0, 2), (2, 3)],
            vec![1.0, 1.0, 5.0, 1.0],
            vec![0],
        );
        assert_eq!(g.shortest(), [NONE, 0, 1, 2]);
    }
}
