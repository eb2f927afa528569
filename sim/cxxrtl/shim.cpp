// SPDX-License-Identifier: Apache-2.0
// The TSU in CXXRTL as sim/inprocess/device.hpp wants a simulator. Compiled in one unit with the generated model, whose
// outputs settle in one evaluation (sim/cxxrtl/compile.py makes sure).
//
// An evaluation with a clock that has risen works out the outputs before the edge and the state behind it; the commit
// takes that state over. So a cycle is one evaluation, and outputs behind the edge are another.

#include "tsu.cc"

using TsdTop = cxxrtl_design::p_tsu;

#include "tsd_ports.h"

class Simulator {
  public:
    TsdTop top;

    Simulator() { top.step(); }

    void settle() {
        lower_clocks();
        top.eval();
    }

    void tick(bool loader, bool monitor) {
        cycle(loader, monitor, [] {});
        settle();
    }

    template <class Look> void cycle(bool loader, bool monitor, Look look) {
        if (loader || monitor)
            evaluate_edge(loader, monitor);
        else
            evaluate_sampling_edge();
        look();
        top.commit();
    }

  private:
    // Nothing is sensitive to falling edges: let the model remember low clocks instead of evaluating them.
    void lower_clocks() {
        for (auto *clock : {&top.p_clk, &top.p_load__clk, &top.p_monitor__clk}) clock->set<bool>(false);
        for (auto *clock : {&top.prev_p_clk, &top.prev_p_load__clk, &top.prev_p_monitor__clk}) clock->set<bool>(false);
    }

    void evaluate_edge(bool loader, bool monitor) {
        lower_clocks();
        top.p_clk.set<bool>(true);
        top.p_load__clk.set<bool>(loader);
        top.p_monitor__clk.set<bool>(monitor);
        top.eval();
    }

    // The same with clk alone. A copy of eval() for itself, in which the compiler sees clocks that stay low: it drops the
    // logic that only they take over, which is half of the work.
    __attribute__((noinline, flatten)) void evaluate_sampling_edge() {
        lower_clocks();
        top.p_clk.set<bool>(true);
        top.TsdTop::eval(nullptr);
    }
};

#include "device.hpp"
