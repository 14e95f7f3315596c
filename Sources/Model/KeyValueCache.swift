import Compute
package import Container
import Synchronization

/// The memory of what sequences remember, in blocks of positions that several of them may hold.
///
/// A block has the same positions of every layer: for each layer the latents of the keys and values (after their norm),
/// then the rotary keys (after the rotation), and nothing else (DeepSeek-V2, §2.1); or, where heads are grouped, the
/// keys and then the values. In an encoder-decoder the layers are the decoder's: a sequence's first positions are the input's,
/// whose keys and values are those that it attends to across, and the answer's follow. A block that more than one holder
/// has is only read; who wants to write to it copies it first.
package final class KeyValueCache: Sendable {
    /// Positions of a block. Block b of a sequence holds positions b·64 ..< (b + 1)·64.
    package static let blockLength = Kernels.attentionBlock

    package let blockCount: Int
    package let format: CacheFormat

    let configuration: ModelConfiguration
    let layout: Layout
    private let memory: AlignedMemory
    private let state: Mutex<State>

    struct Block: Sendable {
        fileprivate let index: Int32
    }

    /// Where things stand in a block.
    struct Layout: Sendable {
        /// Elements of a position in a layer: a latent and a rotary key, or keys and values.
        let sizes: (first: Int, second: Int)
        /// A part stands head by head, [heads, positions, its share], so that a head's rows follow each other in memory.
        let headCount: Int
        let firstByteCount: Int
        let layerByteCount: Int
        let byteCount: Int

        init(_ configuration: ModelConfiguration, _ format: CacheFormat) {
            let attention = AttentionSizes(configuration.attention)
            sizes = attention.cached
            headCount = attention.cachedHeadCount
            let position = format.elementByteCount * blockLength
            firstByteCount = position * sizes.first
            layerByteCount = firstByteCount + position * sizes.second
            byteCount = layerByteCount * (configuration.layerCount - configuration.encoderLayerCount)
        }
    }

    private struct State {
        /// Unused blocks; those that were used last come first, because their pages are there already.
        var free: [Int32]
        /// [blocks]: how many hold it.
        var holderCounts: [Int32]
    }

    /// Reserves the whole memory now; pages are taken from the machine as blocks are first used.
    package init(configuration: ModelConfiguration, blockCount: Int, format: CacheFormat) throws(ModelError) {
        self.blockCount = blockCount
        self.format = format
        self.configuration = configuration
        layout = Layout(configuration, format)
        state = Mutex(
            State(
                free: (0..<Int32(blockCount)).reversed(), holderCounts: Array(repeating: 0, count: blockCount)))
        let byteCount = blockCount * layout.byteCount
        do {
            memory = try AlignedMemory(byteCount: byteCount)
        } catch {
            throw ModelError(
                .outOfMemory,
                "the KV cache for \(blockCount * Self.blockLength) tokens needs \(byteCount) bytes", cause: error)
        }
    }

    package static func blockCount(tokens: Int) -> Int { (tokens + blockLength - 1) / blockLength }

    package static func byteCount(configuration: ModelConfiguration, blocks: Int, format: CacheFormat) -> Int {
        Layout(configuration, format).byteCount * blocks
    }

    package var freeBlockCount: Int { state.withLock { $0.free.count } }

    /// A sequence that remembers nothing yet, and takes blocks as it grows.
    package func makeState(capacity: Int) -> DecodingState { DecodingState(cache: self, capacity: capacity) }

    /// Positions that a sequence takes beside its tokens: the decoder's start token has one.
    var extraPositionCount: Int { configuration.encoder == nil ? 0 : 1 }

    /// A block for one holder; nil when all are held.
    func take() -> Block? {
        state.withLock { state in
            guard let index = state.free.popLast() else { return nil }
            state.holderCounts[Int(index)] = 1
            return Block(index: index)
        }
    }

    /// A block like this one, for one holder.
    func copy(_ block: Block) -> Block? {
        guard let copy = take() else { return nil }
        unsafe address(of: copy).copyMemory(from: address(of: block), byteCount: layout.byteCount)
        return copy
    }

    /// One more holder.
    func hold(_ block: Block) { state.withLock { $0.holderCounts[Int(block.index)] += 1 } }

    /// One holder less.
    func release(_ block: Block) {
        state.withLock { state in
            let index = Int(block.index)
            precondition(state.holderCounts[index] > 0, "a block was released twice")
            state.holderCounts[index] -= 1
            if state.holderCounts[index] == 0 { state.free.append(block.index) }
        }
    }

    func isShared(_ block: Block) -> Bool { state.withLock { $0.holderCounts[Int(block.index)] > 1 } }

    func address(of block: Block) -> UnsafeMutableRawPointer {
        unsafe memory.base + Int(block.index) * layout.byteCount
    }
}

/// The first positions of a sequence, held so that another that begins alike needn't compute them.
package final class CachedPrefix {
    package private(set) var tokenCount: Int
    let cache: KeyValueCache
    private(set) var blocks: [KeyValueCache.Block]

    fileprivate init(cache: KeyValueCache, blocks: [KeyValueCache.Block], tokenCount: Int) {
        self.cache = cache
        self.blocks = blocks
        self.tokenCount = tokenCount
        for block in blocks { cache.hold(block) }
    }

    deinit {
        for block in blocks { cache.release(block) }
    }

    /// Gives the last block back.
    package func dropLastBlock() {
        guard let last = blocks.popLast() else { return }
        cache.release(last)
        tokenCount = min(tokenCount, blocks.count * KeyValueCache.blockLength)
    }
}

extension DecodingState {
    /// Holds the first `count` tokens for others.
    package func prefix(_ count: Int) -> CachedPrefix {
        precondition(count <= tokenCount)
        return CachedPrefix(
            cache: cache, blocks: Array(blocks.prefix(KeyValueCache.blockCount(tokens: count))), tokenCount: count)
    }
}
