import Container
import ExpertPaging
import Model
import Quantizer

/// What a device needs to run a model, by the arithmetic that the daemon itself plans by.
struct DeviceNeeds: Encodable {
    struct Device: Encodable {
        var memoryByteCount: Int
        /// nil: it can't start.
        var expertsInMemory: Double?
        /// `coarse` or `both`, where experts have two planes.
        var planes: String?
    }

    var denseByteCount: Int
    var expertByteCount: Int
    /// Of the first plane; nil where there is only one.
    var coarseExpertByteCount: Int?
    var byteCountPerToken: Int
    var leastMemoryByteCount: Int
    /// Budgets (`--memory`) and the share of the routed experts that stay in memory with them.
    var devices: [Device]

    private static let budgets = [0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map { Int($0 * Double(1 << 30)) }

    init(_ forecast: ConversionForecast, _ configuration: ModelConfiguration, isFloat: Bool) throws {
        let laneCount = ExpertStore.defaultLaneCount
        let isNested = forecast.coarseExpertByteCounts != forecast.expertByteCounts
        func footprint(_ byteCounts: [Int], laneByteCount: Int = 0) -> ModelFootprint {
            ModelFootprint(
                configuration: configuration, denseByteCount: forecast.denseByteCount,
                arena: ArenaShape(
                    blobByteCounts: byteCounts, expertsPerToken: configuration.experts?.expertsPerToken ?? 0,
                    laneCount: laneCount), laneByteCount: laneByteCount)
        }
        // What both planes are read into before they are put together takes as much as the result.
        let both =
            isNested
            ? footprint(
                forecast.expertByteCounts, laneByteCount: laneCount * (forecast.greatestExpertByteCount + 16 << 10))
            : nil
        func plan(_ memory: Int) throws(ModelError) -> MemoryPlan {
            try MemoryPlan(
                coarse: footprint(forecast.coarseExpertByteCounts), both: both,
                cacheFormat: isFloat ? .f32 : .bf16, options: .init(memory: memory), available: nil)
        }
        denseByteCount = forecast.denseByteCount
        expertByteCount = forecast.greatestExpertByteCount
        coarseExpertByteCount = isNested ? forecast.coarseExpertByteCounts.max() : nil
        byteCountPerToken = forecast.byteCountPerToken
        leastMemoryByteCount = try MemoryPlan(
            footprint: footprint(forecast.coarseExpertByteCounts), cacheFormat: isFloat ? .f32 : .bf16,
            options: .init(memory: 1 << 60), available: nil
        ).leastByteCount
        var devices: [Device] = []
        for budget in Self.budgets {
            let plan = try? plan(budget)
            let share = plan.map { $0.expertCount > 0 ? Double($0.slotCount) / Double($0.expertCount) : 1 }
            devices.append(
                Device(memoryByteCount: budget, expertsInMemory: share, planes: plan?.planesInForce?.rawValue))
            if share == 1, plan?.planes != .coarse { break }
        }
        self.devices = devices
    }

    var lines: [(String, String)] {
        var lines = [
            ("dense weights", Amount.bytes(denseByteCount) + ", which are always in memory"),
            (
                "an expert",
                Amount.bytes(expertByteCount)
                    + (coarseExpertByteCount.map { ", of which the coarse plane is \(Amount.bytes($0))" } ?? "")
            ),
            ("a token reads", Amount.bytes(byteCountPerToken)),
            ("least memory", "\(MemorySize(byteCount: leastMemoryByteCount))"),
        ]
        // The largest that can't, and all that can.
        let first = devices.firstIndex { $0.expertsInMemory != nil } ?? devices.endIndex
        for (index, device) in devices[max(0, first - 1)...].enumerated() {
            let answer = device.expertsInMemory.map {
                "runs, with \(Amount.fixed($0 * 100, 0)) % of the experts in memory"
                    + (device.planes.map { $0 == "both" ? ", both planes" : ", their coarse planes" } ?? "")
            }
            lines.append(
                (
                    index == 0 ? "on devices" : "",
                    "--memory \(MemorySize(byteCount: device.memoryByteCount)): "
                        + (answer ?? "does not start")
                ))
        }
        return lines
    }
}
