package import Container
import Glibc

/// What is added to a score for how far a key is from its query: one value for a bucket of distances and a head
/// (T5, arXiv 1910.10683, §2.1).
@safe package struct PositionBias {
    /// [2 · limit + 1]: the bucket of each distance from −limit to limit.
    let buckets: [Int32]
    private let limit: Int
    private let headCount: Int
    /// [buckets, heads], borrowed from the weights.
    private let values: UnsafePointer<Float>

    /// - Parameter isBidirectional: whether keys may stand behind the query; half of the buckets are theirs.
    package init(
        _ values: UnsafePointer<Float>, _ shape: ModelConfiguration.RelativeAttention, isBidirectional: Bool
    ) {
        unsafe self.values = values
        headCount = shape.headCount
        limit = shape.greatestDistance
        buckets = (-limit...limit).map {
            Int32(truncatingIfNeeded: Self.bucket($0, shape, isBidirectional: isBidirectional))
        }
    }

    /// - Parameter distance: the key's position less the query's.
    package func value(_ distance: Int, head: Int) -> Float {
        let bucket = Int(buckets[min(max(distance, -limit), limit) + limit])
        return unsafe values[bucket * headCount + head]
    }

    /// Half of a direction's buckets are for one distance each, the others get wider as logarithms do. In f32, in the
    /// reference's order, for a distance at the edge of two buckets belongs to one of them.
    private static func bucket(
        _ distance: Int, _ shape: ModelConfiguration.RelativeAttention, isBidirectional: Bool
    ) -> Int {
        let count = isBidirectional ? shape.bucketCount / 2 : shape.bucketCount
        let first = isBidirectional && distance > 0 ? count : 0
        let steps = isBidirectional ? abs(distance) : max(-distance, 0)
        let exact = count / 2
        guard steps >= exact else { return first + steps }
        let range = Float(log(Double(shape.greatestDistance) / Double(exact)))
        let wider = log(Float(steps) / Float(exact)) / range * Float(count - exact)
        return first + min(exact + Int(wider), count - 1)
    }
}
