/// What one sequence remembers, in blocks of a `KeyValueCache`. It takes them as it grows and gives them back when it is
/// cut short or goes away.
@safe package final class DecodingState {
    package let capacity: Int
    package let cache: KeyValueCache
    /// Positions that are filled. The next token gets this position.
    package var tokenCount = 0
    /// Of an encoder-decoder's: tokens of the input, whose positions come first.
    package var inputCount = 0
    /// How the routers may help to read less when the sequence steps; prompts are read without. Set between steps.
    package var lossy = LossyRouting.off
    /// What that came to since the state was made.
    package internal(set) var lossyUse = LossyRouting.Use()
    /// What the experts have taken of the sequence; nil where they take any number.
    package let expertUses: ExpertUses?

    /// Hold `tokenCount` positions, and more when a step has begun.
    private(set) var blocks: [KeyValueCache.Block] = []
    /// [blocks]: where each begins. It stays in its place, so that a step can keep the pointer.
    package let addresses: UnsafeMutablePointer<UnsafeMutableRawPointer>

    init(cache: KeyValueCache, capacity: Int) {
        self.cache = cache
        self.capacity = capacity
        expertUses = ExpertUses(cache.configuration)
        let blockCount = KeyValueCache.blockCount(tokens: capacity + cache.extraPositionCount)
        blocks.reserveCapacity(blockCount)
        unsafe addresses = .allocate(capacity: max(1, blockCount))
    }

    deinit {
        for block in blocks { cache.release(block) }
        unsafe addresses.deallocate()
    }

    package var format: CacheFormat { cache.format }

    /// Forgets everything.
    package func reset() { truncate(to: 0) }

    /// Forgets an input that wasn't taken in to its end. The blocks stay.
    package func beginAnew() {
        precondition(tokenCount == 0)
        inputCount = 0
        expertUses?.reset()
    }

    /// Forgets what comes after the first `count` tokens.
    package func truncate(to count: Int) {
        precondition(count >= 0 && count <= tokenCount, "a state can only be cut shorter")
        tokenCount = count
        if count == 0 { beginAnew() }
        while blocks.count > blockCount(tokens: count) {
            if let last = blocks.popLast() { cache.release(last) }
        }
    }

    /// Begins with the first `count` tokens of a prefix; the state must be empty.
    package func adopt(_ prefix: CachedPrefix, count: Int) {
        precondition(blocks.isEmpty && count <= prefix.tokenCount && count <= capacity && prefix.cache === cache)
        for block in prefix.blocks.prefix(KeyValueCache.blockCount(tokens: count)) {
            cache.hold(block)
            append(block)
        }
        tokenCount = count
    }

    /// Blocks that `reserve` would take.
    package func missingBlockCount(for count: Int) -> Int {
        let needed = blockCount(tokens: tokenCount + count)
        return max(0, needed - blocks.count) + (count > 0 && mustCopy ? 1 : 0)
    }

    /// Makes room for `count` more tokens. False if the cache has no blocks left; what was taken stays for later.
    package func reserve(_ count: Int) -> Bool {
        precondition(tokenCount + count <= capacity)
        if count > 0, mustCopy {
            let place = tokenCount / KeyValueCache.blockLength
            guard let copy = cache.copy(blocks[place]) else { return false }
            cache.release(blocks[place])
            blocks[place] = copy
            unsafe addresses[place] = cache.address(of: copy)
        }
        while blocks.count < blockCount(tokens: tokenCount + count) {
            guard let block = cache.take() else { return false }
            append(block)
        }
        return true
    }

    /// Blocks of so many tokens and what goes with them.
    private func blockCount(tokens count: Int) -> Int {
        count == 0 ? 0 : KeyValueCache.blockCount(tokens: count + cache.extraPositionCount)
    }

    /// Whether the next position belongs to a block that others hold too.
    private var mustCopy: Bool {
        let place = tokenCount / KeyValueCache.blockLength
        return place < blocks.count && cache.isShared(blocks[place])
    }

    private func append(_ block: KeyValueCache.Block) {
        unsafe (addresses + blocks.count).initialize(to: cache.address(of: block))
        blocks.append(block)
    }
}
