/// Everything that a run measured, and what it was measured against.
package struct BenchmarkReport: Sendable, Codable {
    package struct Model: Sendable, Codable {
        package var path: String
        package var family: String
        /// `int4`, `int8`, `bf16` or `f32`.
        package var type: String
        package var fileByteCount: UInt64
        package var kernels: String
        package var threadCount: Int
        package var chunk: Int
        package var contextLength: Int
        package var cacheFormat: String
        /// Experts in memory, of all there are.
        package var slotCount: Int
        package var expertCount: Int
        /// `coarse`, `both` or `heat`, where experts have two planes.
        package var planes: String?
        /// With `heat`: experts that are used with both, and their part of the recorded use.
        package var refinedExpertCount: Int?
        package var refinedUse: Double?
        /// What reads were slowed down to, if they were.
        package var storageBytesPerSecond: Int?
        /// Whether every token goes through all experts.
        package var isDense: Bool
        /// What chose the experts; nil for the model's own routers.
        package var routing: String?
    }

    package enum Kind: String, Sendable, Codable {
        case prefill
        case decode
    }

    package struct Result: Sendable, Codable {
        package var kind: Kind
        /// Tokens of a repetition, each sequence's.
        package var tokenCount: Int
        /// Tokens before them.
        package var depth: Int
        /// Sequences that took their steps together.
        package var sequenceCount: Int
        package var sample: Sample
        /// Of all sequences together, by the median and by the slowest and fastest repetition.
        package var tokensPerSecond: Double
        package var slowestTokensPerSecond: Double
        package var fastestTokensPerSecond: Double
        /// Experts that a repetition used, each counted once a step and layer.
        package var expertCount: Int
        /// Of a repetition.
        package var counted: StepCost.Count
        package var bytesPerSecond: Double
        /// Of the machine's read bandwidth.
        package var bandwidthShare: Double
        /// Of the matrices alone.
        package var multiplyAddsPerSecond: Double
        /// Of the machine's int8 multiply-adds.
        package var peakShare: Double
        /// What the repetitions read from storage, which is nothing where every expert has a place in memory.
        package var storageByteCount: UInt64
        /// nil where every expert has a place in memory.
        package var paging: Paging?
    }

    /// What reading experts from storage came to, on average over the repetitions.
    package struct Paging: Sendable, Codable, Equatable {
        /// 0…1
        package var hitRate: Double
        package var readsPerToken: Double
        package var storageBytesPerToken: Double
        package var stallSecondsPerToken: Double
        /// Of experts that weren't in memory when their turn came, or were there only because they had been read ahead.
        package var missedBytesPerToken: Double
        /// Everything else that a token reads: weights and experts in memory, and the cache.
        package var restBytesPerToken: Double
        /// Tokens a second if the first came from storage and the second from memory, one after the other.
        package var boundTokensPerSecond: Double
        /// Experts that the routers' choices were predicted to hold, of those that they held; nil without predictions.
        package var recall: Double?
        /// Experts that were read ahead and given up before anybody asked for them; nil when none was read ahead.
        package var waste: Double?
        /// Of a prompt: chunks, and what was read against all experts once a chunk.
        package var chunkCount: Int?
        package var readsOfAllExperts: Double?
    }

    /// How experts are read, and how fast storage gave them to a probe.
    package struct Storage: Sendable, Codable, Equatable {
        package var laneCount: Int
        package var isDirect: Bool
        package var bytesPerSecond: Double
        package var readByteCount: Int
    }

    /// What decoding several sequences together could reach at most: its bytes at the machine's bandwidth.
    package struct BatchBound: Sendable, Codable {
        package var sequenceCount: Int
        package var depth: Int
        package var distinctExpertsPerLayer: Double
        package var byteCount: Double
        package var tokensPerSecond: Double
    }

    package var model: Model
    package var limits: MachineLimits
    /// nil where nothing is read from storage.
    package var storage: Storage?
    package var cost: StepCost
    package var results: [Result]
    package var batchBounds: [BatchBound]
}
