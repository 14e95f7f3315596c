import API
import ExpertPaging
import Generation

/// The answer of `GET /metrics`: the daemon's counters in Prometheus' text format, version 0.0.4.
struct MetricsText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private(set) var text = ""

    init(
        engine: EngineStatus, layers: [ExpertStore.LayerUse], memory: Status.Memory, isFileSound: Bool,
        uptime: Duration
    ) {
        add("moed_uptime_seconds", "gauge", "Time since the daemon began to serve.", [([], uptime.seconds)])
        let totals = engine.totals
        add(
            "moed_requests_total", "counter", "Requests by how they ended.",
            [
                ([("outcome", "completed")], Double(totals.completed)),
                ([("outcome", "failed")], Double(totals.failed)),
                ([("outcome", "cancelled")], Double(totals.cancelled)),
                ([("outcome", "rejected")], Double(totals.rejected)),
            ])
        add(
            "moed_tokens_total", "counter", "Tokens computed.",
            [
                ([("kind", "prompt")], Double(totals.promptTokens)),
                ([("kind", "completion")], Double(totals.completionTokens)),
            ])
        add(
            "moed_tokens_dropped_total", "counter",
            "How often a token was left out in a layer because its expert was full.",
            [([], Double(totals.droppedTokens))])
        add("moed_queue_waiting", "gauge", "Requests that wait.", [([], Double(engine.waitingCount))])
        add("moed_queue_limit", "gauge", "Requests that may wait.", [([], Double(engine.queueLimit))])
        add(
            "moed_memory_bytes", "gauge", "The memory plan.",
            [
                ([("part", "dense")], Double(memory.denseByteCount)),
                ([("part", "kv_cache")], Double(memory.cacheByteCount)),
                ([("part", "scratch")], Double(memory.scratchByteCount)),
                ([("part", "expert_arena")], Double(memory.arenaByteCount)),
            ])
        add(
            "moed_model_file_sound", "gauge", "1 while the model's file is in its place and as it was.",
            [([], isFileSound ? 1 : 0)])
        if let pressure = memory.pressure { addPressure(pressure) }
        addPaging(engine, layers, memory)
    }

    private mutating func addPressure(_ pressure: Status.Pressure) {
        add(
            "moed_expert_slots_usable", "gauge", "Expert slots in use at present, fewer while memory is short.",
            [([], Double(pressure.usableSlotCount))])
        add(
            "moed_memory_pressure_reports_total", "counter", "Reports that memory is short.",
            [([], Double(pressure.reportCount))])
        add(
            "moed_expert_arena_changes_total", "counter", "How often the expert arena became smaller and larger.",
            [
                ([("direction", "shrink")], Double(pressure.shrinkCount)),
                ([("direction", "grow")], Double(pressure.growthCount)),
            ])
        add(
            "moed_expert_shrink_evictions_total", "counter", "Experts evicted for the arena to become smaller.",
            [([], Double(pressure.evictionCount))])
        add(
            "moed_memory_left_bytes", "gauge", "What the tightest memory limit leaves.",
            pressure.leftByteCount.map { [([], Double($0))] } ?? [])
        add(
            "moed_memory_limit_bytes", "gauge", "The tightest memory limit.",
            pressure.limitByteCount.map { [([], Double($0))] } ?? [])
    }

    private mutating func addPaging(
        _ engine: EngineStatus, _ layers: [ExpertStore.LayerUse], _ memory: Status.Memory
    ) {
        let paging = engine.paging
        func addPerLayer(_ name: String, _ type: String, _ help: String, _ value: (LayerCounters) -> Double) {
            add(name, type, help, layers.map { ([("layer", "\($0.layer)")], value($0.counters)) })
        }
        add("moed_expert_slots", "gauge", "Experts that fit in memory.", [([], Double(engine.slotCount))])
        add(
            "moed_expert_uses_total", "counter", "Experts asked for, in memory or not.",
            layers.flatMap { layer in
                [
                    ([("layer", "\(layer.layer)"), ("result", "hit")], Double(layer.counters.hits)),
                    (
                        [("layer", "\(layer.layer)"), ("result", "miss")],
                        Double(layer.counters.uses - layer.counters.hits)
                    ),
                ]
            })
        if layers.contains(where: { $0.counters.refinedUses > 0 }) || memory.expertPlanes == "heat" {
            addPerLayer(
                "moed_expert_refined_uses_total", "counter", "Those of them whose expert is used with both planes."
            ) { Double($0.refinedUses) }
        }
        add(
            "moed_expert_refined", "gauge", "With heat: experts that are used with both planes.",
            memory.refinedExpertCount.map { [([], Double($0))] } ?? [])
        add(
            "moed_expert_refined_recorded_use_ratio", "gauge",
            "With heat: their part of the uses that were recorded before the start.",
            memory.refinedUse.map { [([], $0)] } ?? [])
        add(
            "moed_expert_resident", "gauge", "Experts in memory.",
            layers.map { ([("layer", "\($0.layer)")], Double($0.isResident.count { $0 })) })
        add(
            "moed_expert_substitutions_total", "counter",
            "Experts chosen in place of others because they were in memory.", [([], Double(paging.substitutions))])
        add(
            "moed_expert_drops_total", "counter", "Experts left out because they weren't in memory.",
            [([], Double(paging.drops))])
        add(
            "moed_expert_evictions_total", "counter", "Experts that gave up their slot.",
            [([], Double(paging.evictions))])
        addPerLayer("moed_expert_reads_total", "counter", "Reads of experts.") { Double($0.reads) }
        add(
            "moed_expert_guessed_reads_total", "counter", "Reads of experts that nobody had asked for.",
            [([], Double(paging.guessedReads))])
        add(
            "moed_expert_read_failures_total", "counter", "Reads of experts that failed.",
            [([], Double(paging.failures))])
        addPerLayer("moed_expert_read_bytes_total", "counter", "Bytes of experts read.") { Double($0.bytesRead) }
        add(
            "moed_expert_read_seconds_total", "counter", "Time that the lanes spent reading, added up.",
            [([], paging.readDuration.seconds)])
        addPerLayer("moed_expert_stall_seconds_total", "counter", "Time that the engine waited for experts.") {
            Double($0.stallNanoseconds) / 1e9
        }
        addPerLayer(
            "moed_expert_predicted_uses_total", "counter", "Experts chosen where the choice had been predicted."
        ) { Double($0.predictedUses) }
        addPerLayer("moed_expert_recalled_uses_total", "counter", "Those of them that had been predicted.") {
            Double($0.recalledUses)
        }
        addPerLayer("moed_expert_ahead_reads_total", "counter", "Reads of experts because they were predicted.") {
            Double($0.aheadReads)
        }
        addPerLayer("moed_expert_ahead_uses_total", "counter", "Those of them that were asked for in time.") {
            Double($0.aheadUses)
        }
        add(
            "moed_expert_reading_ahead", "gauge", "Whether predicted experts are read for generated tokens.",
            [([], paging.readsAhead ? 1 : 0)])
    }

    private mutating func add(
        _ name: String, _ type: String, _ help: String, _ samples: [(labels: [(String, String)], value: Double)]
    ) {
        guard !samples.isEmpty else { return }
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
        for sample in samples {
            let labels = sample.labels.map { "\($0)=\"\($1)\"" }.joined(separator: ",")
            text += name + (labels.isEmpty ? "" : "{\(labels)}")
            // Whole numbers without a fraction, as counters are read by people too.
            text += Int(exactly: sample.value).map { " \($0)\n" } ?? " \(sample.value)\n"
        }
    }
}
