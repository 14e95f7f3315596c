import Model

/// What the model remembers of the latest prompts, for prompts that begin alike.
///
/// Only positions that prefill computed are kept: decoding rounds in other places, and an answer would depend on what
/// happened to be kept. The blocks belong to the KV cache that running answers use; they give way, the least recently
/// used prompt's last ones first.
struct PrefixCache {
    private struct Entry {
        var tokens: [Int32]
        let prefix: CachedPrefix
        var lastUse: Int
    }

    private var entries: [Entry] = []
    private var clock = 0

    /// More than this many would make looking through them slow.
    static let mostEntries = 64

    /// The longest beginning that the prompt shares with an earlier one. The last token is left to be computed: its logits
    /// are wanted.
    mutating func match(_ prompt: [Int32]) -> (prefix: CachedPrefix, count: Int)? {
        var best: (index: Int, count: Int)?
        for index in entries.indices {
            let count = min(Self.commonCount(entries[index].tokens, prompt), prompt.count - 1)
            if count > best?.count ?? 0 { best = (index, count) }
        }
        guard let best else { return nil }
        clock += 1
        entries[best.index].lastUse = clock
        return (entries[best.index].prefix, best.count)
    }

    /// Keeps a prompt that the state has just taken in.
    mutating func insert(_ prompt: [Int32], _ state: DecodingState) {
        clock += 1
        if let index = entries.firstIndex(where: { $0.tokens.starts(with: prompt) }) {
            entries[index].lastUse = clock
            return
        }
        entries.removeAll { prompt.starts(with: $0.tokens) }
        if entries.count == Self.mostEntries, let oldest = leastRecentlyUsed { entries.remove(at: oldest) }
        entries.append(Entry(tokens: prompt, prefix: state.prefix(prompt.count), lastUse: clock))
    }

    /// Gives up one block. It is free unless somebody else holds it too. False when there is nothing to give up.
    mutating func dropBlock() -> Bool {
        guard let index = leastRecentlyUsed else { return false }
        entries[index].prefix.dropLastBlock()
        let left = entries[index].prefix.tokenCount
        if left == 0 {
            entries.remove(at: index)
        } else {
            entries[index].tokens.removeLast(entries[index].tokens.count - left)
        }
        return true
    }

    private var leastRecentlyUsed: Int? { entries.indices.min { entries[$0].lastUse < entries[$1].lastUse } }

    private static func commonCount(_ first: [Int32], _ second: [Int32]) -> Int {
        var count = 0
        let most = min(first.count, second.count)
        while count < most, first[count] == second[count] { count += 1 }
        return count
    }
}
