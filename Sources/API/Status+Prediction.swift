extension Status.Paging {
    package struct PerToken: Codable, Sendable, Equatable {
        package var byteCount: Double
        package var readCount: Double
        package var stallMilliseconds: Double

        package init(byteCount: Double, readCount: Double, stallMilliseconds: Double) {
            self.byteCount = byteCount
            self.readCount = readCount
            self.stallMilliseconds = stallMilliseconds
        }

        private enum CodingKeys: String, CodingKey {
            case byteCount = "bytes_read"
            case readCount = "reads"
            case stallMilliseconds = "stall_ms"
        }
    }
}

/// How well a layer's choice of experts was predicted, one layer before.
package struct Prediction: Codable, Sendable, Equatable {
    /// Chosen experts that had been predicted, among the chosen ones, 0…1; nil where nothing was predicted.
    package var recall: Double?
    /// Experts that were read because they were predicted, and how many of them nobody asked for before they were given up,
    /// 0…1.
    package var readCount: Int
    package var waste: Double?

    /// nil if nothing was predicted or read.
    package init?(predictedUseCount: Int, recalledUseCount: Int, readCount: Int, usedCount: Int) {
        guard predictedUseCount > 0 || readCount > 0 else { return nil }
        recall = predictedUseCount > 0 ? Double(recalledUseCount) / Double(predictedUseCount) : nil
        self.readCount = readCount
        waste = readCount > 0 ? Double(readCount - usedCount) / Double(readCount) : nil
    }

    private enum CodingKeys: String, CodingKey {
        case recall
        case readCount = "reads"
        case waste
    }
}

/// What expert paging did for one layer since the start.
package struct LayerPaging: Codable, Sendable, Equatable {
    /// Counted from 0, dense layers included.
    package var layer: Int
    package var hitCount: Int
    package var missCount: Int
    package var readCount: Int
    package var byteCount: Int
    package var stallSeconds: Double
    package var residentCount: Int
    package var prediction: Prediction?

    package init(
        layer: Int, hitCount: Int, missCount: Int, readCount: Int, byteCount: Int, stallSeconds: Double,
        residentCount: Int, prediction: Prediction?
    ) {
        self.layer = layer
        self.hitCount = hitCount
        self.missCount = missCount
        self.readCount = readCount
        self.byteCount = byteCount
        self.stallSeconds = stallSeconds
        self.residentCount = residentCount
        self.prediction = prediction
    }

    private enum CodingKeys: String, CodingKey {
        case layer
        case hitCount = "hits"
        case missCount = "misses"
        case readCount = "reads"
        case byteCount = "bytes_read"
        case stallSeconds = "stall_seconds"
        case residentCount = "resident"
        case prediction
    }
}
