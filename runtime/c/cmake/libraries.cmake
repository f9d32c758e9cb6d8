# The shared and the static library.
if(NOT DEFINED CMAKE_INSTALL_RPATH)
    # Where libcarve looks for ONNX Runtime: beside itself, then where it was at build time.
    if(CARVE_ELF)
        set(CMAKE_INSTALL_RPATH $ORIGIN)
    elseif(APPLE)
        set(CMAKE_INSTALL_RPATH @loader_path)
    endif()
    if(NOT CARVE_INSTALL_ONNXRUNTIME AND NOT ONNXRUNTIME_LIBDIR IN_LIST CMAKE_C_IMPLICIT_LINK_DIRECTORIES)
        list(APPEND CMAKE_INSTALL_RPATH ${ONNXRUNTIME_LIBDIR})
    endif()
endif()

add_library(carve SHARED $<TARGET_OBJECTS:carve_objects>)
add_library(carve::carve ALIAS carve)
set_target_properties(carve PROPERTIES LINKER_LANGUAGE C BUILD_RPATH ${ONNXRUNTIME_LIBDIR}
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
target_include_directories(carve
    INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(carve PRIVATE ${CARVE_ONNXRUNTIME} ${CARVE_LIBRARIES})
if(TARGET onnxruntime_stub)
    add_dependencies(carve onnxruntime_stub)
endif()
if(CARVE_ELF)
    set(map ${PROJECT_SOURCE_DIR}/cmake/libcarve.map)
    set_target_properties(carve PROPERTIES LINK_DEPENDS ${map})
    target_link_options(carve PRIVATE LINKER:--version-script=${map}
        INTERFACE $<BUILD_INTERFACE:LINKER:-rpath-link,${ONNXRUNTIME_LIBDIR}>)
endif()

if(CARVE_STATIC)
    set(objects $<TARGET_OBJECTS:carve_objects>)
    if(CARVE_ELF)
        # One object whose own names are local: a program may have functions of these names too.
        set(whole ${PROJECT_BINARY_DIR}/carve_whole.o)
        add_custom_command(OUTPUT ${whole} DEPENDS ${objects} COMMAND_EXPAND_LISTS
            COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${whole} ${objects}
            COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${whole})
        set_source_files_properties(${whole} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
        set(objects ${whole})
    endif()
    add_library(carve_static STATIC ${objects})
    set_target_properties(carve_static PROPERTIES LINKER_LANGUAGE C EXPORT_NAME static)
    if(NOT WIN32) # where carve.lib is the shared library's
        set_target_properties(carve_static PROPERTIES OUTPUT_NAME carve)
    endif()
    target_compile_definitions(carve_static INTERFACE CARVE_STATIC)
    target_include_directories(carve_static INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(carve_static INTERFACE carve::onnxruntime ${CARVE_LIBRARIES})
endif()
