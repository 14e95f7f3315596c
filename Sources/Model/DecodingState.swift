import Compute
package import Container

/// What one sequence remembers: for every past position and layer the latent of its keys and values (after its norm)
/// and the rotary key (after the rotation), and nothing else (DeepSeek-V2, §2.1).
package final class DecodingState {
    package let capacity: Int
    package let format: CacheFormat
    /// Positions that are filled. The next token gets this position.
    package internal(set) var tokenCount = 0

    private let memory: AlignedMemory
    /// Values of one position: a latent and a rotary key.
    private let latentSize: Int
    private let ropeSize: Int
    private let layerCount: Int

    /// Reserves the whole memory now.
    package init(configuration: ModelConfiguration, capacity: Int, format: CacheFormat) throws(ModelError) {
        let attention = configuration.attention.latent
        self.capacity = capacity
        self.format = format
        latentSize = attention.keyValueLatentRank
        ropeSize = attention.ropeHeadSize
        layerCount = configuration.layerCount
        let byteCount = Self.byteCount(configuration: configuration, tokens: capacity, format: format)
        do {
            memory = try AlignedMemory(byteCount: byteCount)
        } catch {
            throw ModelError(.outOfMemory, "the KV cache for \(capacity) tokens needs \(byteCount) bytes", cause: error)
        }
    }

    package static func byteCount(configuration: ModelConfiguration, tokens: Int, format: CacheFormat) -> Int {
        let attention = configuration.attention.latent
        let perPosition = attention.keyValueLatentRank + attention.ropeHeadSize
        return configuration.layerCount * tokens * perPosition * format.elementByteCount
    }

    /// Forgets everything.
    package func reset() { tokenCount = 0 }

    /// Forgets what comes after the first `count` tokens.
    package func truncate(to count: Int) {
        precondition(count >= 0 && count <= tokenCount, "a state can only be cut shorter")
        tokenCount = count
    }

    /// [capacity, keyValueLatentRank] of a layer, in `format`.
    func latents(layer: Int) -> UnsafeMutableRawPointer {
        unsafe memory.base + layer * capacity * latentSize * format.elementByteCount
    }

    /// [capacity, rope] of a layer, in `format`; they stand behind all the latents.
    func ropedKeys(layer: Int) -> UnsafeMutableRawPointer {
        unsafe memory.base + capacity * (layerCount * latentSize + layer * ropeSize) * format.elementByteCount
    }
}
