package import ExpertPaging

/// How many expert slots to use while the machine's memory comes and goes: a state machine without clocks and files.
///
/// The arena shrinks at once, by an eighth when memory is reported to be short and by what is missing when a limit leaves
/// too little; it grows back slowly, after a while without either, never above the plan.
package struct ArenaGovernor: Sendable {
    package struct Tuning: Sendable {
        /// Time without shortage before the arena grows.
        package var calm = Duration.seconds(10)
        /// At most one shrinking for reported shortage in so much time: what was given back must show first.
        package var pause = Duration.seconds(1)
        /// Parts of the planned slots that one report takes and one step of growth brings back.
        package var shrinkDivisor = 8
        package var growthDivisor = 32

        package init() {}
    }

    /// What is known of the machine at one moment.
    package struct Observation: Sendable {
        package var now: ContinuousClock.Instant
        /// Whether memory was reported to be short since the last one.
        package var isPressed: Bool
        package var available: AvailableMemory?
        /// Bytes of usable slots that were never filled: they will be taken from the machine yet.
        package var unoccupiedByteCount: Int

        package init(
            now: ContinuousClock.Instant, isPressed: Bool, available: AvailableMemory?, unoccupiedByteCount: Int
        ) {
            self.now = now
            self.isPressed = isPressed
            self.available = available
            self.unoccupiedByteCount = unoccupiedByteCount
        }
    }

    package enum Cause: Sendable, Equatable {
        /// Shortage was reported.
        case pressure
        /// A limit, the machine's or a control group's, leaves too little.
        case limit(AvailableMemory)
    }

    package enum Step: Sendable, Equatable {
        case shrink(to: Int, Cause)
        case grow(to: Int)
    }

    package let plannedSlotCount: Int
    package let leastSlotCount: Int
    package private(set) var slotCount: Int
    private let slotByteCount: Int
    private let tuning: Tuning
    private var lastShortage: ContinuousClock.Instant?
    private var lastPressure: ContinuousClock.Instant?

    /// - Parameter arenaByteCount: of all planned slots.
    package init(plannedSlotCount: Int, leastSlotCount: Int, arenaByteCount: Int, tuning: Tuning = Tuning()) {
        self.plannedSlotCount = plannedSlotCount
        self.leastSlotCount = min(leastSlotCount, plannedSlotCount)
        slotCount = plannedSlotCount
        slotByteCount = max(arenaByteCount / max(plannedSlotCount, 1), 1)
        self.tuning = tuning
    }

    package init(_ store: ExpertStore, tuning: Tuning = Tuning()) {
        self.init(
            plannedSlotCount: store.slotCount, leastSlotCount: store.shape.leastSlotCount,
            arenaByteCount: store.arenaByteCount, tuning: tuning)
    }

    /// Kept free below a limit: what it takes to notice that it comes nearer.
    package static func reserve(of limitByteCount: Int) -> Int {
        min(max(limitByteCount / 16, 32 << 20), 512 << 20)
    }

    /// What is to be done now; nil for nothing.
    package mutating func respond(to observation: Observation) -> Step? {
        let now = observation.now
        let spare = observation.available.map {
            $0.byteCount - observation.unoccupiedByteCount - Self.reserve(of: $0.limitByteCount)
        }
        var target = slotCount
        var cause: Cause?
        if let spare, let available = observation.available, spare < 0 {
            lastShortage = now
            target -= (-spare + slotByteCount - 1) / slotByteCount
            cause = .limit(available)
        }
        if observation.isPressed {
            lastShortage = now
            if lastPressure.map({ $0.duration(to: now) >= tuning.pause }) ?? true {
                lastPressure = now
                let pressed = slotCount - max(plannedSlotCount / tuning.shrinkDivisor, 1)
                if pressed < target {
                    target = pressed
                    cause = .pressure
                }
            }
        }
        target = max(target, leastSlotCount)
        if let cause, target < slotCount {
            slotCount = target
            return .shrink(to: target, cause)
        }
        guard slotCount < plannedSlotCount, lastShortage.map({ $0.duration(to: now) >= tuning.calm }) ?? true else {
            return nil
        }
        var step = min(max(plannedSlotCount / tuning.growthDivisor, 1), plannedSlotCount - slotCount)
        if let spare, let available = observation.available {
            // Growth stops well before the next shortage, so that the two don't take turns.
            step = min(step, (spare - Self.reserve(of: available.limitByteCount) / 2) / slotByteCount)
        }
        guard step > 0 else { return nil }
        slotCount += step
        return .grow(to: slotCount)
    }
}
