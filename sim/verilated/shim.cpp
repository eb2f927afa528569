// SPDX-License-Identifier: Apache-2.0
// The Verilated TSU as sim/inprocess/device.hpp wants a simulator. Compiled in one unit with the generated model.
//
// TSD_HAS_ROOT_EVAL and TSD_HAS_TRIGGER_STATE say that the model has the internal names which the fast path uses
// (sim/verilated/library.py looks); without them it runs slower.

#include "Vtsu.h"
#include "Vtsu___024root.h"

using TsdTop = Vtsu;

#include "tsd_ports.h"

class Simulator {
    VerilatedContext context;

  public:
    Vtsu top{&context, "tsu"};

    Simulator() {
        top.clk = top.load_clk = top.monitor_clk = 0;
        top.command_valid = top.command_last = top.command_data = 0;
        top.draw_enable = 0;
        top.register_address = 0;
        top.eval();
    }

    ~Simulator() { top.final(); }

    // The public eval() also takes locks that a single-threaded model does not need: a third of the time.
    void settle() {
#if TSD_HAS_ROOT_EVAL
        Vtsu___024root___eval(top.rootp);
#else
        top.eval();
#endif
    }

    void tick(bool loader, bool monitor) {
        top.clk = 1;
        top.load_clk = loader;
        top.monitor_clk = monitor;
        settle();
        top.clk = 0;
        top.load_clk = 0;
        top.monitor_clk = 0;
#if TSD_HAS_TRIGGER_STATE
        // Nothing is sensitive to falling edges: let the model remember low clocks instead of evaluating them.
        top.rootp->__Vtrigprevexpr___TOP__clk__0 = 0;
        top.rootp->__Vtrigprevexpr___TOP__load_clk__0 = 0;
        top.rootp->__Vtrigprevexpr___TOP__monitor_clk__0 = 0;
#else
        settle();
#endif
    }

    template <class Look> void cycle(bool loader, bool monitor, Look look) {
        if (loader) settle();  // elsewhere the edge before has left them settled
        look();
        tick(loader, monitor);
    }
};

#include "device.hpp"
