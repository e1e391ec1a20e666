//! What quotas allow. Facts: PROTOCOL 2.3. Only those of children of the root: what one above another counts
//! depends on when each was set.

use crate::oracle::past::Past;

pub const QUOTA_EXCEEDED: i32 = -125;
const FOLDER: &str = "/zookeeper/quota";

/// Where limits are asked for: what had been applied by who decides, when it decided. What was in flight then
/// is not counted, so that a burst may go beyond a limit.
#[derive(Clone, Copy, Debug)]
pub struct Quotas<'a> {
    pub past: &'a Past,
    pub position: usize,
}

impl Quotas<'_> {
    /// One more node, or none, and so many more bytes.
    pub fn check(&self, path: &str, count: i64, bytes: i64) -> Result<(), i32> {
        let Some(top) = path.split('/').nth(1) else { return Ok(()) };
        let node = |name: &str| self.past.node(self.position, &format!("{FOLDER}/{top}/{name}"));
        let (Some(limits), Some(_)) = (node("zookeeper_limits"), node("zookeeper_stats")) else {
            return Ok(());
        };
        let limits = limits.data.as_deref().unwrap_or_default();
        let tally = self.past.tally(self.position, path);
        for (diff, now, name) in
            [(count, tally.count, "countHardLimit"), (bytes, tally.bytes, "byteHardLimit")]
        {
            let hard = limit(limits, name).filter(|limit| *limit > -1);
            if diff != 0 && hard.is_some_and(|limit| now + diff > limit) {
                return Err(QUOTA_EXCEEDED);
            }
        }
        Ok(())
    }
}

/// One number of a text such as `count=3,bytes=-1=;countHardLimit=4`.
fn limit(text: &[u8], name: &str) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut pairs = text.split([',', ';']).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name)?.1.trim_end_matches('=').parse().ok()
}

/// What a node shows in which servers count, if this is one: no transaction writes it.
pub fn counted(past: &Past, position: usize, path: &str) -> Option<String> {
    let subject = path.strip_prefix(FOLDER)?.strip_suffix("/zookeeper_stats")?;
    let tally = past.tally(position, subject);
    Some(format!("count={},bytes={}", tally.count, tally.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::tree::Node;
    use bytes::Bytes;

    fn node(data: &str) -> Node {
        let mut node = Node::default();
        node.record.data = Some(Bytes::from(data.to_owned()));
        node
    }

    #[test]
    fn what_is_there_is_counted_at_each_moment() {
        let mut past = Past::default();
        past.record(1, "/a", Some(&node("abc")));
        past.record(2, "/a/b", Some(&node("xy")));
        past.record(2, "/b", Some(&node("1")));
        past.record(3, "/a", Some(&node("")));
        past.record(4, "/a/b", None);
        let path = "/zookeeper/quota/a/zookeeper_stats";
        let shown: Vec<_> = (0..5).map(|at| counted(&past, at, path).unwrap()).collect();
        let right = [(0, 0), (1, 3), (2, 5), (2, 2), (1, 0)];
        assert_eq!(shown, right.map(|(count, bytes)| format!("count={count},bytes={bytes}")));
        assert_eq!(counted(&past, 4, "/zookeeper/quota/a/zookeeper_limits"), None);
    }

    #[test]
    fn hard_limits_refuse_what_goes_beyond_them_and_soft_ones_nothing() {
        let mut past = Past::default();
        past.record(1, "/a", Some(&node("abc")));
        let set = |past: &mut Past, at, text| {
            past.record(at, "/zookeeper/quota/a/zookeeper_limits", Some(&node(text)));
            past.record(at, "/zookeeper/quota/a/zookeeper_stats", Some(&node("")));
        };
        set(&mut past, 2, "count=-1,bytes=-1=;byteHardLimit=5;countHardLimit=2");
        set(&mut past, 3, "count=1,bytes=1");
        let check =
            |position, count, bytes| Quotas { past: &past, position }.check("/a/x", count, bytes);
        assert_eq!(check(1, 1, 100), Ok(()), "no limit is set");
        assert_eq!(check(2, 1, 2), Ok(()));
        assert_eq!(check(2, 2, 0), Err(QUOTA_EXCEEDED));
        assert_eq!(check(2, 0, 3), Err(QUOTA_EXCEEDED));
        assert_eq!(check(3, 100, 100), Ok(()));
    }
}
